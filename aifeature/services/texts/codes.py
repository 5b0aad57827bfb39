"""The code of a job that is kept waiting or ends, by what was in the way."""

from __future__ import annotations

from typing import Final

DEFERRED: Final = {
    "user_tokens": "user_tokens",
    "provider_limit": "provider_limited",
    "breaker": "provider_paused",
    "account": "provider_account",
}
"""The code of a job that the gate let not be sent, by the gate's reason."""

SPENT: Final = {"user_spend": "user_limit", "account": "account_limit"}
"""The code of a job that a user's own spend keeps from being sent, by the window's scope."""

FAILED_AFTER_WAITING: Final = {
    "provider_limited": "overloaded",
    "provider_account": "provider_unavailable",
    "provider_paused": "provider_unavailable",
    "provider_waiting": "provider_unavailable",
    "user_busy": "overloaded",
    "user_tokens": "overloaded",
    "feature_paused": "feature_paused",
    "budget_held": "budget_spent",
}
"""The code of a job whose deadline passed while it waited, by the code of what it waited for."""
