"""Characters that no reader sees: they are removed, and the suspicious ones are counted."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

_HIDDEN: Final = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # soft hyphen, joiners, fillers
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero-width, line separators, direction
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"  # fillers, variation selectors, byte-order mark
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # half characters and noncharacters
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # shorthand and musical formats
    "\U000e0000-\U000e0fff"  # tags and more variation selectors
    "\U000f0000-\U0010ffff"  # private use outside the basic plane
    "]+"
)

_LINE_END: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")

_FLAG: Final = "\U0001f3f4"
_FLAG_TAGS: Final = frozenset(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
"""Tags that make the flags of England, Scotland and Wales. Source: Unicode emoji-sequences."""

_ZWNJ: Final = "\u200c"
_ZWJ: Final = "\u200d"
_MARKS_OF_DIRECTION: Final = frozenset("\u200e\u200f\u061c")
_RIGHT_TO_LEFT: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdfc\ufe70-\ufefc]")

_JOINING: Final = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u17ff\u1800-\u18af\ufb50-\ufdfc\ufe70-\ufefc]"
)
"""Scripts in which a joiner or non-joiner changes the shape of a word."""

_NO_SPACES: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Scripts without spaces, which separate words by a zero-width space."""

_HAN: Final = re.compile("[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_MONGOLIAN: Final = re.compile("[\u1800-\u18af]")
_JAMO: Final = re.compile("[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]")
_SKIN_TONES: Final = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
_KEYCAP: Final = "\u20e3"

_MARKS: Final = re.compile(r"[^\w\s\x00-\x7f]{31,}")
_MAX_MARKS: Final = 30
"""Most marks on one character. Source: the stream-safe text format, UAX 15. Without a limit the
normal form takes quadratic time."""


def clean(text: str) -> tuple[str, int]:
    r"""Return the text in NFC without hidden characters, and the number of suspicious ones.

    Line ends become `\n`. Joiners in Persian and Indic words and in emoji, variation selectors
    after emoji and Han characters, and the tags of three flags are kept. Line ends, a byte-order
    mark at either end, marks of direction in right-to-left text and soft hyphens inside a word are
    removed but not counted.

        >>> clean("ig\u200bnore")
        ('ignore', 1)
    """
    if text.isascii():
        if not _CONTROL.search(text):
            return text, 0
    elif not _HIDDEN.search(text):
        return _normal(text)
    text = _LINE_END.sub("\n", text.strip("\ufeff"))
    suspicious = 0
    has_right_to_left = _RIGHT_TO_LEFT.search(text) is not None

    def replace(match: re.Match[str]) -> str:
        nonlocal suspicious
        run, start, end = match[0], match.start(), match.end()
        before = text[start - 1] if start else ""
        after = text[end] if end < len(text) else ""
        kept = _kept(run, before, after)
        if not _is_ordinary(run[len(kept) :], text, start, end, right_to_left=has_right_to_left):
            suspicious += len(run) - len(kept)
        return kept

    shown, marks = _normal(_HIDDEN.sub(replace, text))
    return shown, suspicious + marks


def _kept(run: str, before: str, after: str) -> str:
    """Return the beginning of a run of hidden characters that its script or emoji needs."""
    if not before:
        return ""
    if before == _FLAG and run in _FLAG_TAGS:
        return run
    first = run[0]
    if "\ufe00" <= first <= "\ufe0f" or "\U000e0100" <= first <= "\U000e01ef":
        if _HAN.match(before):
            return first
        if first in "\ufe0e\ufe0f" and (_is_emoji(before) or after == _KEYCAP):
            return run[:2] if run[1:2] == _ZWJ and _is_emoji(after) else first
        return first if first == "\ufe00" and unicodedata.category(before) == "Sm" else ""
    joins = (
        (first == _ZWJ and _is_emoji(before) and _is_emoji(after))
        or (first in {_ZWJ, _ZWNJ} and _JOINING.match(before) and _JOINING.match(after))
        or (first == _ZWJ and unicodedata.combining(before) == 9)  # noqa: PLR2004  a virama
        or ("\u180b" <= first <= "\u180f" and _MONGOLIAN.match(before))
        or (first in "\u115f\u1160" and (_JAMO.match(before) or _JAMO.match(after)))
    )
    return first if joins else ""


def _is_emoji(character: str) -> bool:
    return bool(character) and (
        unicodedata.category(character) in {"So", "Sm"}
        or character in _SKIN_TONES
        or character in "‼⁉〰ℹ"
    )


def _is_ordinary(run: str, text: str, start: int, end: int, *, right_to_left: bool) -> bool:
    """Return whether removed characters are usual in honest text at this place."""
    if right_to_left and set(run) <= _MARKS_OF_DIRECTION:
        return True
    if run == "\u00ad":
        return text[max(0, start - 2) : start].isalpha() and text[end : end + 2].isalpha()
    if run == "\u200b":
        return bool(_NO_SPACES.match(text[start - 1 : start]) and _NO_SPACES.match(text, end))
    return run == _ZWNJ and bool(_JOINING.match(text[start - 1 : start]))


def _normal(text: str) -> tuple[str, int]:
    """Return the NFC of a text, and the number of marks removed from towers of marks."""
    if text.isascii():
        return text, 0
    removed = 0

    def cut(match: re.Match[str]) -> str:
        nonlocal removed
        kept, marks = [], 0
        for character in match[0]:
            marks = marks + 1 if unicodedata.combining(character) else 0
            if marks <= _MAX_MARKS:
                kept.append(character)
        removed += len(match[0]) - len(kept)
        return "".join(kept)

    text = _MARKS.sub(cut, text)
    return unicodedata.normalize("NFC", text), removed
