"""The text in a form for matching: plain digits, spaces and dashes, and no invisible characters."""

from __future__ import annotations

import re
import string
import unicodedata
from typing import Final

from aifeature.personal_data.decoding import Decoded

_BLANK: Final = "\0"
"""Replaces each character of a placeholder: no pattern matches it."""

PLACEHOLDER: Final = re.compile(r"\[(EMAIL|PHONE|CARD|IBAN|ID|IP|SECRET)_([0-9]{1,7})\]")


_LAST_OF_PLANE: Final = "\uffff"
_FULL_WIDTH: Final = string.ascii_letters + "@+-_./()%"
_LAST_DIGIT: Final = 0x1FBF9
"""The last decimal digit of Unicode 14, the version of Python 3.11."""


def _plain() -> dict[str, str]:
    """Return the plain character of each digit, space, dash and full-width character."""
    plain = {chr(0xFEE0 + ord(c)): c for c in _FULL_WIDTH}
    for character in map(chr, range(0x80, _LAST_DIGIT + 1)):
        if character.isdecimal():
            plain[character] = str(unicodedata.decimal(character))
    plain |= dict.fromkeys("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007", " ")
    plain |= dict.fromkeys("\u2008\u2009\u200a\u202f\u205f\u3000", " ")
    plain |= dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\u05be", "-")
    plain |= {"\ufe6b": "@", "\ufe52": ".", "\u2024": ".", "\u2044": "/", "\u2215": "/"}
    plain |= dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
    plain |= dict.fromkeys("\u2018\u2019\u201a", "'")
    return plain


_PLAIN: Final = _plain()


_ODD: Final = re.compile(f"[{re.escape(''.join(c for c in _PLAIN if c <= _LAST_OF_PLANE))}]")
_FAR: Final = re.compile("[\U00010000-\U0001ffff]")
"""Characters outside the basic plane, apart: a class that holds some is slow."""
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u20e3\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)


class View:
    """A text in its form for matching. Positions in it are mapped back to the text.

    `text` is the form, `lower` the same in lower case and of the same length.
    """

    __slots__ = ("_ends", "_starts", "lower", "text")

    def __init__(self, text: str, decoded: Decoded | None = None) -> None:
        """Take a text, or its decoded form with the places in it."""
        self._starts: list[int] | None = None
        self._ends: list[int] | None = None
        if decoded:
            text, self._starts, self._ends = decoded
        if not text.isascii():
            if _INVISIBLE.search(text):
                kept = [i for i, c in enumerate(text) if not _INVISIBLE.match(c)]
                text = "".join([text[i] for i in kept])
                starts, ends = self._starts, self._ends
                self._starts = [starts[i] for i in kept] if starts else kept
                self._ends = [ends[i] for i in kept] if ends else [i + 1 for i in kept]
            text = _ODD.sub(lambda odd: _PLAIN[odd[0]], text)
            if max(text, default="") > _LAST_OF_PLANE:
                text = _FAR.sub(lambda far: _PLAIN.get(far[0], far[0]), text)
        if "[" in text:
            text = PLACEHOLDER.sub(lambda place: _BLANK * len(place[0]), text)
        self.text = text
        self.lower = text.lower()
        if len(self.lower) != len(text):  # a letter such as U+0130 becomes two
            self.lower = "".join([c.lower() if len(c.lower()) == 1 else c for c in text])

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the span in the original text of text[start:end]."""
        if self._starts is None or self._ends is None:
            return start, end
        return self._starts[start], self._ends[end - 1]
