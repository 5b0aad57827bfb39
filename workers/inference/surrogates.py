"""Joins characters that were split over two pieces of text.

JSON writes a character above U+FFFF as two escapes. A provider that cuts its text between them
sends half a character in each of two events.
"""

from __future__ import annotations

import re
from typing import Final

_HALF: Final = re.compile("[\ud800-\udfff]")
_FIRST_HALF: Final = re.compile("[\ud800-\udbff]$")


class Joiner:
    """Holds back the first half of a character until the second one comes."""

    def __init__(self) -> None:
        """Prepare; nothing is held back."""
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be passed on by now. Half a character that stays alone becomes U+FFFD."""
        text = self._held + piece
        self._held = ""
        if text.isascii() or not _HALF.search(text):
            return text
        if _FIRST_HALF.search(text):
            text, self._held = text[:-1], text[-1]
        return _joined(text)

    def end(self) -> str:
        """Return what is still held back."""
        text, self._held = self._held, ""
        return _joined(text)


def _joined(text: str) -> str:
    """Join pairs, and put U+FFFD in place of each half that is alone."""
    pairs = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", pairs)
