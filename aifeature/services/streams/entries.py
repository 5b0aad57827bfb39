"""The format in Redis: one stream per job and epoch, one entry per batch of new text.

A worker that lost its job may still write to the stream of its old epoch, which has no readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

TTL_S: Final = 3600
"""Time to live, set when an answer's text starts. Longer than any job's deadline."""

MAX_ENTRIES: Final = 20_000
"""More than the longest call writes at ten entries a second, so no entry is ever dropped."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch of new text."""

    attempt: int
    """Number of the answer within the epoch, from 1. A higher one replaces the text."""

    offset: int
    """Characters (code points) of that answer before this batch. 0: this is all of it so far."""

    text: str

    def fields(self) -> dict[str, str | int]:
        """Return the fields of a Redis stream entry."""
        return {"attempt": self.attempt, "offset": self.offset, "text": self.text}


def read(fields: Mapping[bytes, bytes]) -> Entry:
    """Parse the fields of a Redis stream entry. Raises ValueError, such as for another release."""
    try:
        text = fields[b"text"].decode()
        return Entry(int(fields[b"attempt"]), int(fields[b"offset"]), text)
    except KeyError as error:
        raise ValueError(f"no field {error}") from None


def key(job: UUID, epoch: int) -> str:
    """Return the name of the Redis stream."""
    return f"aif:stream:{job}:{epoch}"
