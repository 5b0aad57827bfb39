"""Texts for users: messages about waiting and ended jobs, and references to quote.

Also `web_addresses`: texts of visitors, as logs and error reports may show them.

Public: all names below.

Size limit: 250 lines.
"""

from aifeature.services.texts import references, web_addresses
from aifeature.services.texts.messages import (
    CANCELLED_BY_STAFF,
    CANCELLED_BY_SWITCH,
    CANCELLED_BY_USER,
    FAILED,
    WAITING,
)

__all__ = [
    "CANCELLED_BY_STAFF",
    "CANCELLED_BY_SWITCH",
    "CANCELLED_BY_USER",
    "FAILED",
    "WAITING",
    "references",
    "web_addresses",
]
