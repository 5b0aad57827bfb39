"""Joining of surrogate pairs that are split over two pieces of text.

JSON may encode a character above U+FFFF as two escapes. If the provider splits its text between
them, each of two events contains half a character.
"""

from __future__ import annotations

import re
from typing import Final

_HALF: Final = re.compile("[\ud800-\udfff]")
_FIRST_HALF: Final = re.compile("[\ud800-\udbff]$")


class Joiner:
    """A buffer for the first half of a character, until the second half arrives."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return the text that is complete so far. A single half becomes U+FFFD."""
        text = self._held + piece
        self._held = ""
        if text.isascii() or not _HALF.search(text):
            return text
        if _FIRST_HALF.search(text):
            text, self._held = text[:-1], text[-1]
        return _joined(text)

    def end(self) -> str:
        """Return the rest of the buffer."""
        text, self._held = self._held, ""
        return _joined(text)


def _joined(text: str) -> str:
    """Join pairs, and replace each single half with U+FFFD."""
    pairs = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", pairs)
