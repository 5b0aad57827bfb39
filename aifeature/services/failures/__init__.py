"""Stores failed web requests for on-call, under the reference that the user was shown.

Public: `web_failures`.

Size limit: 250 lines.
"""

from aifeature.services.failures import web_failures

__all__ = ["web_failures"]
