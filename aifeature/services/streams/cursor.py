"""The position of one reader in a text, and the next event to send. No Redis, no database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from aifeature.services.streams.live_text import LiveText

_POSITION: Final = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")


class Position(NamedTuple):
    """A reader's position: an epoch and a number of characters (code points) of its text."""

    epoch: int
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"


def read_position(event_id: str) -> Position | None:
    """Parse the id of an event; None: it is not one of ours."""
    match = _POSITION.fullmatch(event_id.strip())
    return Position(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class TextEvent:
    """New text for a reader: a `delta` is appended, a `reset` replaces the text."""

    kind: Literal["delta", "reset"]
    text: str
    position: Position
    """The position after this event."""


class Cursor:
    """One reader's position in the text of a job, over all its epochs and answers."""

    def __init__(self, claimed: Position | None = None) -> None:
        """`claimed` is the position that the reader sent. It is verified against the text."""
        self._live: LiveText | None = None
        self._version = 0
        self._offset = claimed.offset if claimed else 0
        self._claimed = claimed if self._offset else None  # without text there is nothing to verify

    def follow(self, live: LiveText) -> None:
        """Switch to this text, for example of a later epoch."""
        if self._claimed is None and self._offset:
            self._claimed = Position(self._live.epoch if self._live else 0, self._offset)
        self._live = live
        self._version = live.version

    def next(self) -> TextEvent | None:
        """Return the new text, which then counts as sent."""
        live = self._live
        if live is None or not self.settled:
            return None
        if self._claimed:
            self._verify(live, self._claimed)
        if self._claimed or (self._version != live.version and self._offset):
            return self._sent("reset", live.text)
        self._version = live.version
        if self._offset == len(live.text):
            return None
        return self._sent("delta", live.text[self._offset :])

    def end(self, stored: str, epoch: int) -> TextEvent | None:
        """Return the event that turns the reader's text into the stored one, if they differ."""
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
        """The position that the reader claimed, until it has been verified."""
        return self._claimed

    @property
    def settled(self) -> bool:
        """Whether there is no claim, or one that can be verified now."""
        claimed, live = self._claimed, self._live
        return claimed is None or (live is not None and self._can_verify(live, claimed))

    @staticmethod
    def _can_verify(live: LiveText, claimed: Position) -> bool:
        if not live.primed:
            return False
        # An empty text was lost, and may be written again.
        return claimed.epoch != live.epoch or bool(live.text)

    def _verify(self, live: LiveText, claimed: Position) -> None:
        # From the second answer on, the claimed offset may refer to another answer.
        if claimed.epoch == live.epoch and live.attempt == 1 and claimed.offset <= len(live.text):
            self._claimed = None

    def _sent(self, kind: Literal["delta", "reset"], text: str) -> TextEvent:
        live = self._live
        if live is None:
            raise AssertionError("nothing can be sent before `follow`")
        self._claimed = None
        self._version = live.version
        self._offset = len(live.text)
        return TextEvent(kind, text, Position(live.epoch, self._offset))
