"""References that users read on a page and on-call searches for in admin and in the log.

`J-3F2A91C4` is a job, by the beginning of its id. `W-7K3M9QX2PA` is a request that failed. This
module does not need Django, so that the log can use it at any time.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from django.http import HttpRequest

_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's Base32 alphabet. No two of its characters look alike."""

_LOOKS_LIKE: Final = str.maketrans("OIL", "011")
_LENGTH: Final = 10
_JOB: Final = re.compile(r"(?:J-)?([0-9A-F]{8})")
_REQUEST: Final = re.compile(rf"W-([{_LETTERS}]{{{_LENGTH}}})")


@dataclass(slots=True)
class Visit:
    """A request in progress."""

    reference: str
    request: HttpRequest | None
    """None: the request was refused before it reached Django."""
    is_noted: bool = False
    """Whether its failure was noted under the reference."""


visit: Final[ContextVar[Visit | None]] = ContextVar("visit", default=None)
"""The request of the current context."""


def begin(request: HttpRequest | None = None) -> Visit:
    """Give the request of this context a reference."""
    begun = Visit(new_request(), request)
    visit.set(begun)
    return begun


def current() -> str:
    """Return the reference of the current request, or an empty string outside of a request."""
    found = visit.get()
    return found.reference if found else ""


def of_job(job: UUID) -> str:
    """Return the reference of a job.

    >>> of_job(UUID("3f2a91c4-0000-4000-8000-000000000000"))
    'J-3F2A91C4'
    """
    return f"J-{job.hex[:8].upper()}"


def new_request() -> str:
    """Return a new reference for a request, with 50 random bits."""
    return "W-" + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def jobs(text: str) -> tuple[UUID, UUID] | None:
    """Return the first and last id that match a job reference; None: the text is not one.

    Also accepts the digits alone, as shown in lists of jobs.
    """
    found = _JOB.fullmatch(text.strip().upper())
    if found is None:
        return None
    return UUID(hex=found[1] + "0" * 24), UUID(hex=found[1] + "f" * 24)


def request(text: str) -> str | None:
    """Return the request reference in its original form; None: the text is not one.

    Accepts lower case, and letters that look like digits.
    """
    kind, _, rest = text.strip().upper().partition("-")
    found = _REQUEST.fullmatch(f"{kind}-{rest.translate(_LOOKS_LIKE)}")
    return found[0] if found else None
