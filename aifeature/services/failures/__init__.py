"""Stores failed web requests for on-call, under the reference their user was shown.

Public: `web_failures`.
"""

from aifeature.services.failures import web_failures

__all__ = ["web_failures"]
