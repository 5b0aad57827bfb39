"""Opaque cursors: where the next page of jobs starts, as text for a URL."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aifeature.services.jobs.refusals import InvalidInput

Position = tuple[datetime, UUID]
"""Creation time and id of the last job that was shown."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BYTES = 8


def encode(position: Position) -> str:
    """A position as text: microseconds since 1970 and the id, in base64url."""
    moment, job = position
    micros = (moment - _EPOCH) // timedelta(microseconds=1)
    raw = micros.to_bytes(_TIME_BYTES, signed=True) + job.bytes
    return base64.urlsafe_b64encode(raw).decode()


def decode(text: str) -> Position:
    """The position a cursor stands for.

    Raises:
        InvalidInput: it was not made by `encode`.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        micros = int.from_bytes(raw[:_TIME_BYTES], signed=True)
        return _EPOCH + timedelta(microseconds=micros), UUID(bytes=raw[_TIME_BYTES:])
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidInput(
            "A parameter does not fit.",
            errors=[{"field": "cursor", "message": "This is no cursor of ours; start over."}],
        ) from None
