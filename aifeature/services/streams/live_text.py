"""The text of a running answer in a web process, shared by all its readers there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aifeature.services.streams.entries import Entry


@dataclass(eq=False, slots=True)
class LiveText:
    """The text of one epoch of a job, as far as it has been read from Redis.

    The text is stored once for all readers. A reader is only a position in it, so a slow reader
    costs no memory and gets all missed text in one event.
    """

    epoch: int
    text: str = ""

    attempt: int = 0
    """Number of the answer within the epoch; 0 before there is any text."""

    version: int = 0
    """Incremented when the text no longer extends the previous text."""

    primed: bool = False
    """Whether the stream has been read, so that an empty text means that there is none."""

    last_id: bytes = b"0"
    """Id of the last entry read from Redis."""

    readers: set[Callable[[], None]] = field(default_factory=set)
    """Callbacks, called after each change."""

    def take(self, entry: Entry) -> None:
        """Add an entry. Ignore it if its beginning is missing: the stored result will follow."""
        if entry.attempt < self.attempt:
            return
        if entry.attempt > self.attempt:
            if entry.offset:
                return
            self._restart(entry)
        elif entry.offset == len(self.text):
            self.text += entry.text
        elif entry.offset == 0:  # sent again as a whole, because entries may have been lost
            if entry.text.startswith(self.text):
                self.text = entry.text
            elif not self.text.startswith(entry.text):
                self._restart(entry)

    def notify(self) -> None:
        """Wake all readers."""
        for reader in tuple(self.readers):
            reader()

    def _restart(self, entry: Entry) -> None:
        if self.text:
            self.version += 1
        self.attempt = entry.attempt
        self.text = entry.text
