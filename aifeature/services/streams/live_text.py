"""A web process's side: the text of a running answer, shared by all who read it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aifeature.services.streams.entries import Entry


@dataclass(eq=False, slots=True)
class LiveText:
    """The text of one job's epoch as far as it is known here.

    It is kept once, however many read it; a reader is a position in it, so a slow one costs
    nothing but its position and gets all it missed in one piece.
    """

    epoch: int
    text: str = ""

    attempt: int = 0
    """Which of the epoch's answers the text is of; 0 before there is any."""

    version: int = 0
    """Raised whenever the text is no longer a continuation of what it was."""

    primed: bool = False
    """Whether Redis has been asked, so that an empty text means that there is none."""

    last_id: bytes = b"0"
    """Id of the last Redis entry that was read."""

    readers: set[Callable[[], None]] = field(default_factory=set)
    """Called after each change."""

    def take(self, entry: Entry) -> None:
        """Add an entry. One whose beginning is missing is left out: the end brings it."""
        if entry.attempt < self.attempt:
            return
        if entry.attempt > self.attempt:
            if entry.offset:
                return
            self._restart(entry)
        elif entry.offset == len(self.text):
            self.text += entry.text
        elif entry.offset == 0:  # written once more as a whole, since something may have got lost
            if entry.text.startswith(self.text):
                self.text = entry.text
            elif not self.text.startswith(entry.text):
                self._restart(entry)

    def tell(self) -> None:
        """Wake who reads."""
        for reader in tuple(self.readers):
            reader()

    def _restart(self, entry: Entry) -> None:
        if self.text:
            self.version += 1
        self.attempt = entry.attempt
        self.text = entry.text
