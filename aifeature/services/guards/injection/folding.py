"""Folding: one form for all spellings of a letter."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

_MARKS: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
"""Marks on letters, the vowel points of Hebrew and Arabic, and the Arabic lengthening."""

_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff]+"
)

_ESCAPED: Final = re.compile(r"\\[nrt](?=\w\w|\\[nrt]\w|\s|$)")
"""Ends of lines as in JSON and source code."""

_LETTERS: Final = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "_": "-"}
    | dict.fromkeys("’ʼ‘`´′", "'")
    | {"أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ک": "ك", "ی": "ي", "ة": "ه", "ς": "σ"}
)
_CONTRACTIONS: Final = (("n't", "nt"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"))


def fold(text: str, *, keep_underscores: bool = False) -> str:
    """Return text in small letters without marks, contractions and invisible characters.

    >>> fold("IGNORÉR")
    'ignorer'
    """
    if text.isascii():
        folded = (text if text.isprintable() else _INVISIBLE.sub("", text)).lower()
        if not keep_underscores:
            folded = folded.replace("_", "-")
    else:
        folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
        folded = _MARKS.sub("", unicodedata.normalize("NFD", folded))
        folded = unicodedata.normalize("NFC", folded)
        letters = {**_LETTERS, ord("_"): "_"} if keep_underscores else _LETTERS
        folded = folded.translate(letters)
    if "\\" in folded:
        folded = _ESCAPED.sub(" ", folded)
    if "'" in folded:
        for short, long in _CONTRACTIONS:
            folded = folded.replace(short, long)
    return folded


@cache
def look_alikes() -> dict[int, str]:
    """Return the ASCII letter that each look-alike means, by code point."""
    source = (Path(__file__).parent / "confusables.txt").read_text(encoding="utf-8")
    lines = [line for line in source.splitlines() if line and not line.startswith("#")]
    return {ord(letter): line[0] for line in lines for letter in line[2:]}
