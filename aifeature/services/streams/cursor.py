"""What one reader has of a text, and what it must be sent next. Pure: no Redis, no database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from aifeature.services.streams.live_text import LiveText

_POSITION: Final = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")


class Position(NamedTuple):
    """How far a reader is: so many characters (code points) of this epoch's text."""

    epoch: int
    offset: int

    def __str__(self) -> str:
        """As an event's id."""
        return f"{self.epoch}-{self.offset}"


def read_position(event_id: str) -> Position | None:
    """The position in an event's id; None when it is none of ours."""
    match = _POSITION.fullmatch(event_id.strip())
    return Position(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class TextEvent:
    """A `delta` continues the reader's text, a `reset` replaces it."""

    kind: Literal["delta", "reset"]
    text: str
    position: Position
    """After it."""


class Cursor:
    """One reader's place in the text of a job, over its epochs and answers."""

    def __init__(self, claimed: Position | None = None) -> None:
        """Start.

        Args:
            claimed: What the reader says it has, from an earlier connection. It is believed only
                after a look at the text itself.
        """
        self._live: LiveText | None = None
        self._version = 0
        self._offset = claimed.offset if claimed else 0
        self._claimed = claimed if self._offset else None  # who has no text, has no wrong one

    def follow(self, live: LiveText) -> None:
        """From now on the reader's text is this one, of a later epoch perhaps."""
        if self._claimed is None and self._offset:
            self._claimed = Position(self._live.epoch if self._live else 0, self._offset)
        self._live = live
        self._version = live.version

    def next(self) -> TextEvent | None:
        """What is new; afterwards the reader counts as having it."""
        live = self._live
        if live is None or not self.settled:
            return None
        if self._claimed:
            self._judge(live, self._claimed)
        if self._claimed or (self._version != live.version and self._offset):
            return self._sent("reset", live.text)
        self._version = live.version
        if self._offset == len(live.text):
            return None
        return self._sent("delta", live.text[self._offset :])

    def end(self, stored: str, epoch: int) -> TextEvent | None:
        """What makes the reader's text the stored one; None when it is that already."""
        live = self._live
        known = live is not None and live.version == self._version
        shown = live.text[: self._offset] if live and known else ""
        at = Position(epoch, len(stored))
        if self._claimed or (self._offset and not known) or not stored.startswith(shown):
            return TextEvent("reset", stored, at)
        rest = stored[len(shown) :]
        return TextEvent("delta", rest, at) if rest else None

    @property
    def claimed(self) -> Position | None:
        """What the reader says it has, while that is not known to be the text's beginning."""
        return self._claimed

    @property
    def settled(self) -> bool:
        """Whether there is no claim, or one that can be judged now."""
        claimed, live = self._claimed, self._live
        return claimed is None or (live is not None and self._can_judge(live, claimed))

    @staticmethod
    def _can_judge(live: LiveText, claimed: Position) -> bool:
        if not live.primed:
            return False
        # A text that is not there got lost, and may come once more.
        return claimed.epoch != live.epoch or bool(live.text)

    def _judge(self, live: LiveText, claimed: Position) -> None:
        """Take the claim over if it holds. After a second answer nobody knows which it counts."""
        if claimed.epoch == live.epoch and live.attempt == 1 and claimed.offset <= len(live.text):
            self._claimed = None

    def _sent(self, kind: Literal["delta", "reset"], text: str) -> TextEvent:
        live = self._live
        if live is None:
            raise AssertionError("there is a text when something of it is sent")
        self._claimed = None
        self._version = live.version
        self._offset = len(live.text)
        return TextEvent(kind, text, Position(live.epoch, self._offset))
