"""Channels of alerts: their addresses, and messages to them.

Public: `register`, which adds and changes channels, and its `problems`; `deliveries`, which sends
messages and tests; `check`, which does so every few seconds.

Size limit: 1,720 lines.
"""

from aifeature.services.channels import check, deliveries, problems, register

__all__ = [
    "check",
    "deliveries",
    "problems",
    "register",
]
