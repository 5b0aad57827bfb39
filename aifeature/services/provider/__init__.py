"""Access to the provider: gateway, rate gates, account state and model health.

Public: the four factories below and the modules.

Size limit: 850 lines.
"""

from aifeature.services.provider import account, account_words, model_views, odd_answers, watch
from aifeature.services.provider.factory import gate, gateway, request_limiter, shared_state

__all__ = [
    "account",
    "account_words",
    "gate",
    "gateway",
    "model_views",
    "odd_answers",
    "request_limiter",
    "shared_state",
    "watch",
]
