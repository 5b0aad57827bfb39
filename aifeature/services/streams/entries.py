"""What stands in Redis: one stream per job and epoch, one entry per batch of new text.

A worker that lost its job goes on writing into a stream of an old epoch, which nobody reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

TTL_S: Final = 3600
"""Set when an answer's text starts. Longer than any job's deadline, so it outlives the job."""

MAX_ENTRIES: Final = 20_000
"""More than the longest call writes at ten a second; a bound, not a window."""


@dataclass(frozen=True, slots=True)
class Entry:
    """New text of the field."""

    attempt: int
    """Which of the epoch's answers it belongs to, from 1. A higher one starts the text anew."""

    offset: int
    """Characters (code points) of that answer's text before this. 0: this is all there is."""

    text: str

    def fields(self) -> dict[str, str | int]:
        """As fields of a Redis stream entry."""
        return {"attempt": self.attempt, "offset": self.offset, "text": self.text}


def read(fields: Mapping[bytes, bytes]) -> Entry:
    """The entry in these fields of a Redis stream entry.

    Raises:
        ValueError: they hold none, written by another release perhaps.
    """
    try:
        text = fields[b"text"].decode()
        return Entry(int(fields[b"attempt"]), int(fields[b"offset"]), text)
    except KeyError as error:
        raise ValueError(f"no field {error}") from None


def key(job: UUID, epoch: int) -> str:
    """Name of the Redis stream."""
    return f"aif:stream:{job}:{epoch}"
