"""Disguised words: look-alike letters, digits for letters, letters doubled, swapped or left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from aifeature.services.guards.injection.folding import look_alikes

_LEET: Final = str.maketrans("0134567892", "oieasgtbgz")
_LEET_L: Final = str.maketrans("0134567892", "oleasgtbgz")
_SYMBOL: Final = "@$!|€£¡+"
_SYMBOLS: Final = str.maketrans(_SYMBOL, "as11el1t")
_SYMBOL_IN_WORD: Final = re.compile(r"[@$!|€£¡]\w|\w[@$€£]|[^\W\d]\+\w")
_SYMBOLS_ANY: Final = re.compile(f"[{_SYMBOL}]")
_WORD: Final = re.compile(r"\S+")
_RUN: Final = re.compile(r"\w+")
_MIXED_ASCII: Final = re.compile(r"\d(?:(?<=[a-z]\d)|(?=[a-z]))")
_MIXED: Final = re.compile(
    r"[^\W_a-z](?:(?<=[a-z].)|(?=[a-z])|(?<=[^\W\d_]\d)|(?<=\d)(?=[^\W\d_]))"
)
_LAST: Final = "!|?.,;:)\"'"
_INNER: Final = re.compile(r"[^\w\s](?<=\w.)[^\w\s]{0,2}(?=\w)")
_SPACED: Final = re.compile(r"\b\w\b(?:[ \t.,\-_*·•/|~+\n]{1,4}\w\b){3,}")
_PAIR: Final = re.compile(r"\W\w\W{1,4}\w\b")
_GAP: Final = re.compile(r"[^\w]+")
_REPEATED: Final = re.compile(r"(.)\1{2,}")
_ROT13: Final = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM",
)
_SCRAMBLED_FROM: Final = 5
_SHORTENED_FROM: Final = 7


class Disguises:
    """Words with letters swapped or left out, by the words that are meant."""

    def __init__(self, words: dict[str, int]) -> None:
        self._scrambled = {
            _signature(word): mask for word, mask in words.items() if len(word) >= _SCRAMBLED_FROM
        }
        self._shortened = {
            word[:place] + word[place + 1 :]: mask
            for word, mask in words.items()
            if len(word) >= _SHORTENED_FROM
            for place in range(1, len(word) - 1)
        }

    def mask(self, word: str) -> int:
        """Return the concepts of the word that this one is a misspelling of, or 0."""
        if len(word) < _SCRAMBLED_FROM or not word.isascii():
            return 0
        found = self._scrambled.get(_signature(word), 0) or self._shortened.get(word, 0)
        if not found and word.endswith("s"):
            found = self._scrambled.get(_signature(word[:-1]), 0)
            found = found or self._shortened.get(word[:-1], 0)
        return found


def _signature(word: str) -> str:
    return word[0] + "".join(sorted(word[1:-1])) + word[-1]


def readings(word: str) -> Iterator[str]:
    """Yield what a folded word may mean."""
    plain = word if word.isascii() else word.translate(look_alikes())
    if plain != word:
        yield plain
    if not plain.isalpha() and not plain.isdigit():
        yield plain.translate(_LEET)
        if "1" in plain:
            yield plain.translate(_LEET_L)
    once = _REPEATED.sub(r"\1", plain)
    if once != plain:
        yield once
        yield _REPEATED.sub(r"\1\1", plain)
    if plain.isascii() and len(plain) > 2 * _SHORTENED_FROM:
        yield plain


def unmixed(text: str, is_known: Callable[[str], bool]) -> str:
    """Return a folded text in which words of letters and digits, or of two scripts, are plain.

    The function returns whether a word has a meaning. Digits such as 1 are read so that it has.
    """
    if not (_MIXED_ASCII if text.isascii() else _MIXED).search(text):
        return text

    def plain(match: re.Match[str]) -> str:
        word = match[0]
        if not _MIXED.search(word):
            return word
        word = word.translate(look_alikes())
        for letters in (_LEET, _LEET_L):
            reading = word.translate(letters)
            if is_known(reading):
                return reading
        return word

    return _RUN.sub(plain, text)


def joined(text: str) -> str:
    """Return a folded text with symbols read as letters and spaced or broken words joined.

    >>> joined("i g n o r e  a-l-l ru*les")
    'ignore all rules'
    """
    if _SYMBOLS_ANY.search(text) and _SYMBOL_IN_WORD.search(text):
        text = _WORD.sub(_letters, text)
    if _PAIR.search(text):
        text = _SPACED.sub(_join, text)
    return _INNER.sub("", text)


def _letters(match: re.Match[str]) -> str:
    """Read the symbols of a word as letters, but not those that end it."""
    word = match[0].rstrip(_LAST)
    if not any(character.isalpha() for character in word):
        return match[0]
    return word.translate(_SYMBOLS) + match[0][len(word) :]


def _join(match: re.Match[str]) -> str:
    """Join single letters. The most frequent gap is inside words, others are between words."""
    gaps = _GAP.findall(match[0])
    inner = max(set(gaps), key=gaps.count)
    return _GAP.sub(lambda gap: "" if gap[0] == inner else " ", match[0])


def rot13(text: str) -> str:
    """Return the text with each letter 13 places further."""
    return text.translate(_ROT13)
