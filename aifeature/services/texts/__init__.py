"""Texts for users: messages about waiting and ended jobs, and references to quote.

Public: all names below.

Size limit: 250 lines.
"""

from aifeature.services.texts import references
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
]
