"""Words of concepts such as `discard` or `rules`, in about 30 languages."""

# ruff: noqa: RUF001

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Final, NamedTuple

from aifeature.services.guards.injection import disguise
from aifeature.services.guards.injection.folding import fold

_FILES: Final = ("lexicon.txt", "foul.txt")
_NO_SPACES: Final = frozenset({"zh", "ja", "ko", "th"})
"""Languages whose words are found inside longer runs of letters."""

_CLITICS: Final = {"ARABIC": "وفبلك", "HEBREW": "והבלמשכ"}
_ARTICLE: Final = "ال"
_MAX_STEM: Final = 24
_GLUED_FROM: Final = 12
"""Letters from which a word is searched for words inside it, as in compounds."""
_GLUED_STEM: Final = 5
_TWIN_FROM: Final = 6
"""Letters from which an English word is searched in rot13 and backwards."""
_GLUED: Final = frozenset(
    {"discard", "rules", "prompt", "prior", "reveal", "hidden", "norules", "instructions"}
)
"""Concepts whose words are also found inside longer words, and misspelled."""
_CACHE: Final = 4_096

BREAKS: Final = frozenset(',:;\n([{"“”„«»—–.!?*>#|`。，、：；！？「」『』（）【】،؛؟…।')
"""Marks that end a clause."""
BREAK: Final = 1 << 0
DISGUISED: Final = 1 << 1
"""A word that was readable only after it was normalised."""
ROTATED: Final = 1 << 2
"""An English word of the lexicon in rot13."""
REVERSED: Final = 1 << 3
"""An English word of the lexicon, backwards."""
_FIRST: Final = 1 << 4
"""Bit of the first concept."""


class Phrase(NamedTuple):
    """The other words of a phrase that begins with a word."""

    rest: tuple[str, ...]
    mask: int


class Token(NamedTuple):
    """A word, or a mark between two parts of a sentence."""

    mask: int
    word: str


class Meaning(NamedTuple):
    """The meaning of a run of letters."""

    mask: int
    """Concepts, as bits."""
    tokens: tuple[Token, ...]
    """The run itself, or the words inside it if it has no spaces."""
    phrases: dict[str, tuple[Phrase, ...]] | None
    """Phrases that may begin with it, by the second word. A stem is filed under `*`."""


class Lexicon:
    """All words, ready for look-ups. Immutable but for a bounded cache."""

    def __init__(self, sources: Iterable[str]) -> None:
        self.bits: dict[str, int] = {}
        self._words: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        self._first_words: dict[str, list[Phrase]] = {}
        self._first_stems: dict[str, list[Phrase]] = {}
        self._inside: dict[str, int] = {}
        self._inside_lengths: dict[str, tuple[int, ...]] = {}
        self._glued: dict[str, int] = {}
        self._glued_lengths: dict[str, tuple[int, ...]] = {}
        english: dict[str, int] = {}
        for concept, language, entry in _entries(sources):
            bit = self.bits.setdefault(concept, _FIRST << len(self.bits))
            self._add(entry, concept, bit, language)
            if language == "en" and "_" not in entry:
                word = entry.rstrip("*")
                english[word] = english.get(word, 0) | bit
        glued = reduce(or_, (self.bits[concept] for concept in _GLUED))
        self._disguises = disguise.Disguises(
            {word: mask for word, mask in english.items() if mask & glued}
        )
        for word in english:
            if len(word) >= _TWIN_FROM:
                for twin, bit in ((disguise.rot13(word), ROTATED), (word[::-1], REVERSED)):
                    if not self._find(twin)[0]:
                        self._words[twin] = self._words.get(twin, 0) | bit
        self._inside_lengths = _lengths(self._inside)
        self._glued_lengths = _lengths(self._glued)
        self.known: dict[str, Meaning] = {}
        """Cached meanings."""

    def _add(self, entry: str, concept: str, bit: int, language: str) -> None:
        words = entry.split("_")
        if len(words) > 1:
            first, rest = words[0], tuple(words[1:])
            phrases = self._first_stems if first.endswith("*") else self._first_words
            phrases.setdefault(first.rstrip("*"), []).append(Phrase(rest, bit))
            return
        stem = entry.rstrip("*")
        table = self._stems if entry.endswith("*") else self._words
        table[stem] = table.get(stem, 0) | bit
        if language in _NO_SPACES:
            if len(stem) > 1 or language != "ko":
                self._inside[stem] = self._inside.get(stem, 0) | bit
        elif len(stem) >= _GLUED_STEM and concept in _GLUED:
            self._glued[stem] = self._glued.get(stem, 0) | bit

    def meaning(self, word: str) -> Meaning:
        """Return the meaning of a folded word, in plain or disguised letters."""
        found = self.known.get(word)
        if found is None:
            found = self._made(word)
            if len(self.known) >= _CACHE:
                self.known.clear()
            if len(word) <= 2 * _MAX_STEM:
                self.known[word] = found
        return found

    def _made(self, word: str) -> Meaning:
        if word in BREAKS:
            return Meaning(0, (Token(BREAK, word),), None)
        mask, phrases = self._find(word)
        if not mask and not phrases:
            mask = self._undisguised(word)
        tokens: tuple[Token, ...] = (Token(mask, word),)
        if self.is_run(word) and (not mask or word[0] > "\u0e00"):
            parts = [part for _, part in self.parts(word)]
            if len(parts) > 1 or (parts and word[0] > "\u0e00"):
                tokens = tuple(Token(part, word) for part in parts)
                mask = reduce(or_, parts)
        seconds: dict[str, tuple[Phrase, ...]] = {}
        for phrase in phrases:
            second = "*" if phrase.rest[0].endswith("*") else phrase.rest[0]
            seconds[second] = (*seconds.get(second, ()), phrase)
        return Meaning(mask, tokens, seconds or None)

    def _find(self, word: str) -> tuple[int, tuple[Phrase, ...]]:
        mask = self._words.get(word, 0)
        phrases = tuple(self._first_words.get(word, ()))
        for length in range(2, min(len(word), _MAX_STEM) + 1):
            stem = word[:length]
            mask |= self._stems.get(stem, 0)
            if stem in self._first_stems:
                phrases = (*phrases, *self._first_stems[stem])
        if not mask and not phrases and len(word) > 3 and "\u0590" < word[0] < "\u0700":  # noqa: PLR2004
            return self._without_clitics(word)
        return mask, phrases

    def _without_clitics(self, word: str) -> tuple[int, tuple[Phrase, ...]]:
        script = "HEBREW" if word[0] < "\u0600" else "ARABIC"
        if word.startswith(_ARTICLE):
            return self._find(word[2:])
        if word[0] in _CLITICS[script]:
            return self._find(word[1:])
        return 0, ()

    def _undisguised(self, word: str) -> int:
        mask = self._disguises.mask(word)
        if mask:
            return mask
        for other in disguise.readings(word):
            mask |= self._find(other)[0]
            if not mask and len(other) >= _GLUED_FROM:
                parts = [found for _, found in self.parts(other)]
                if len(parts) > 1:
                    mask |= reduce(or_, parts)
        return mask | DISGUISED if mask else 0

    def parts(self, word: str) -> Iterator[tuple[int, int]]:
        """Yield the place and the concepts of each word inside a run of letters."""
        if word[0] > "\u0e00" or not word.isascii():
            table, lengths = self._inside, self._inside_lengths
            if word[0] < "\u0e00":
                table, lengths = self._glued, self._glued_lengths
        else:
            table, lengths = self._glued, self._glued_lengths
        place, end = 0, len(word)
        while place < end:
            for length in lengths.get(word[place : place + 2], ()):
                mask = table.get(word[place : place + length])
                if mask:
                    yield place, mask
                    place += length - 1
                    break
            else:
                mask = table.get(word[place])
                if mask:
                    yield place, mask
            place += 1

    def is_run(self, word: str) -> bool:
        """Return whether a word may hold several words."""
        return word[0] > "\u0e00" or len(word) >= _GLUED_FROM


def _lengths(table: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the lengths of the entries by their first two letters, the longest first."""
    found: dict[str, set[int]] = {}
    for entry in table:
        found.setdefault(entry[:2], set()).add(len(entry))
    return {first: tuple(sorted(lengths, reverse=True)) for first, lengths in found.items()}


def _entries(sources: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    for source in sources:
        concept = ""
        for line in source.splitlines():
            if line.startswith("["):
                concept = line.strip("[]")
            elif line and not line.startswith("#"):
                language, _, entries = line.partition(": ")
                for entry in entries.split():
                    yield concept, language, fold(entry, keep_underscores=True)


@cache
def lexicon() -> Lexicon:
    """Return the lexicon, read at the first use."""
    folder = Path(__file__).parent
    texts = [(folder / name).read_text(encoding="utf-8") for name in _FILES]
    return Lexicon(unicodedata.normalize("NFC", text) for text in texts)
