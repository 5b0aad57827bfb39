"""References that users read on a page and on-call searches for in admin and in the log.

`J-3F2A91C4` names a job by the beginning of its id. `W-7K3M9QX2PA` names a request that was
answered with an error. Nothing here needs Django, so that the log can name a request at any time.
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
"""Crockford's: no two of them look alike."""

_LOOKS_LIKE: Final = str.maketrans("OIL", "011")
_LENGTH: Final = 10
_JOB: Final = re.compile(r"(?:J-)?([0-9A-F]{8})")
_REQUEST: Final = re.compile(rf"W-([{_LETTERS}]{{{_LENGTH}}})")


@dataclass(slots=True)
class Visit:
    """A request that is being answered."""

    reference: str
    request: HttpRequest | None
    """None: it was refused before it reached Django."""
    is_noted: bool = False
    """Whether its failure was noted under the reference."""


visit: Final[ContextVar[Visit | None]] = ContextVar("visit", default=None)
"""The request that is answered in this context."""


def begin(request: HttpRequest | None = None) -> Visit:
    """Give the request of this context a reference."""
    begun = Visit(new_request(), request)
    visit.set(begun)
    return begun


def current() -> str:
    """Return the reference of the request of this context; empty outside of one."""
    found = visit.get()
    return found.reference if found else ""


def of_job(job: UUID) -> str:
    """Return the job's reference.

    >>> of_job(UUID("3f2a91c4-0000-4000-8000-000000000000"))
    'J-3F2A91C4'
    """
    return f"J-{job.hex[:8].upper()}"


def new_request() -> str:
    """Return a reference for a request, of 50 random bits."""
    return "W-" + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def jobs(text: str) -> tuple[UUID, UUID] | None:
    """Return the first and the last id that the reference of a job may stand for; None: it is none.

    The digits alone, as lists of jobs show them, will do.
    """
    found = _JOB.fullmatch(text.strip().upper())
    if found is None:
        return None
    return UUID(hex=found[1] + "0" * 24), UUID(hex=found[1] + "f" * 24)


def request(text: str) -> str | None:
    """Return the reference of a request as it was given out; None: the text is none.

    It may be in lower case, and have letters in it that look like digits.
    """
    kind, _, rest = text.strip().upper().partition("-")
    found = _REQUEST.fullmatch(f"{kind}-{rest.translate(_LOOKS_LIKE)}")
    return found[0] if found else None
