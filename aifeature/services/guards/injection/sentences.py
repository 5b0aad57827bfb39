"""Pieces of a text that are scored one by one, and the quotations in it."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MOST: Final = 400
"""Most characters of a piece."""
_STEP: Final = 300
"""From one window to the next in a sentence longer than a piece."""
_SHORT: Final = 30
"""Letters below which a sentence is read together with the next one."""

_END: Final = re.compile(r"[.!?…]+[\"'”’»)\]*_]{0,3}(?=\s|$)|[。！？؟।]+|\n[ \t\r]*\n\s*")

_QUOTED: Final = re.compile(
    '"[^"]{3,1500}"|“[^“”]{3,1500}”|„[^„“”]{3,1500}[“”]|«[^«»]{3,1500}»|»[^«»]{3,1500}«'
    "|「[^「」]{3,1500}」|『[^『』]{3,1500}』|‘[^‘’]{3,1500}’(?!\\w)"
    "|(?<!\\w)'[^'\n]{8,400}'(?!\\w)|`[^`]{3,1500}`"
)


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield the begin and the end of each sentence, long ones as windows that overlap."""
    start = 0
    for match in _END.finditer(text):
        if match.end() - start >= _SHORT:
            yield from _windows(start, match.end())
            start = match.end()
    if start < len(text):
        yield from _windows(start, len(text))


def _windows(start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > MOST:
        yield start, start + MOST
        start += _STEP
    yield start, end


def quotations(text: str) -> list[tuple[int, int]]:
    """Return the begin and the end of each quotation, without its marks."""
    return [(match.start() + 1, match.end() - 1) for match in _QUOTED.finditer(text)]


def without(text: str, start: int, end: int, quoted: list[tuple[int, int]]) -> str:
    """Return a part of the text with its quoted characters left blank."""
    shown, place = [], start
    for begin, stop in quoted:
        if stop > place and begin < end:
            shown += [text[place : max(place, begin)], " … "]
            place = min(end, stop)
    return "".join(shown) + text[place:end]
