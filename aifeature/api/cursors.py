"""Opaque cursors for the pages of jobs."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aifeature.services.jobs.refusals import InvalidInput

Position = tuple[datetime, UUID]
"""Creation time and id of the last job of a page."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BYTES = 8


def encode(position: Position) -> str:
    """Return a position as text: microseconds since 1970 and the id, in base64url."""
    moment, job = position
    micros = (moment - _EPOCH) // timedelta(microseconds=1)
    raw = micros.to_bytes(_TIME_BYTES, signed=True) + job.bytes
    return base64.urlsafe_b64encode(raw).decode()


def decode(text: str) -> Position:
    """Return the position of a cursor. Raises InvalidInput if it was not made by `encode`."""
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        micros = int.from_bytes(raw[:_TIME_BYTES], signed=True)
        return _EPOCH + timedelta(microseconds=micros), UUID(bytes=raw[_TIME_BYTES:])
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidInput(
            "A parameter is not valid.",
            errors=[{"field": "cursor", "message": "Not a valid cursor. Start at the first page."}],
        ) from None
