"""The sections of the handbook, and the search for the words of a question in them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Final

from aifeature.spec import Source

FILE: Final = Path(__file__).with_name("handbook.md")

SHORTEST, LONGEST = 8, 400
"""Characters of a sentence that can be quoted."""

_HEADING = re.compile(r"^### (?P<title>.+) \{#(?P<id>[a-z0-9-]+)\}$")
_PART = re.compile(r"^## (?P<title>.+)$")
_MARKS = re.compile(r"[*_`]")
_CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{2,}|\d+")
_ENDING = re.compile(r"(?:(?<=....)(?:ations?|ions?|ments?|ings?|ed|es|e)|(?<=...)s)$")
_DOUBLED = re.compile(r"(?<=..(.))\1$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

ENOUGH: Final = 0.5
"""Share of the weight of a question's words that a section must exceed to be quoted."""

_COMMON: Final = frozenset(
    """
    about after all also am an and any are as at be been before but by can could did do does doing
    for from get had has have having her hers him his how if in into is it its just let long many me
    more most much my no not now of off on once one only or other our out over own please shall she
    should so some such than that the their them then there these they this those to too under until
    up us very was we were what when where whether which while who whom whose why will with would
    you your
    """.split()  # noqa: SIM905 (a table)
) | {"quizcraft"}
"""Words that do not count: they name no topic, or occur in every question."""


class HandbookError(ValueError):
    """The handbook has no sections, or two with the same id."""

    text_is_ours = True


@cache
def sections() -> dict[str, Source]:
    """Return the sections by id, in reading order. Raises HandbookError."""
    found: dict[str, Source] = {}
    for section in _sections(FILE.read_text(encoding="utf-8")):
        if section.id in found:
            raise HandbookError(f"{FILE.name}: two sections have the id {section.id!r}")
        found[section.id] = section
    if not found:
        raise HandbookError(f"{FILE.name}: no line such as '### Title {{#section-id}}'")
    return found


def _sections(text: str) -> Iterator[Source]:
    part, title, name, lines = "", "", "", list[str]()
    for line in [*text.splitlines(), "## The end"]:
        heading, begins = _HEADING.match(line), _PART.match(line)
        if not (heading or begins):
            lines.append(line)
            continue
        if name:
            yield Source(id=name, title=title, group=part, text="\n".join(lines).strip())
        title, name, lines = "", "", []
        if begins:
            part = begins["title"]
        elif heading:
            title, name = heading["title"], heading["id"]


def holds(section: Source, quote: str) -> bool:
    """Return whether a section contains a quote, apart from marks and line breaks."""
    return _flat(quote) in _flat(section.text)


def _flat(text: str) -> str:
    return " ".join(_MARKS.sub("", text).split()).strip(" .").casefold()


def best(question: str) -> tuple[Source, list[str]] | None:
    """Return the section closest to a question, and the two sentences with most of its words.

    A word weighs the more, the fewer sections have it, and twice in a title. A word that no section
    has weighs as much as the rarest. Return None if that section has no more than ENOUGH of them.
    """
    wanted = _words(question)
    texts = {each: _words(f"{each.title} {each.text}") for each in sections().values()}
    weights = {word: _rarity(word, texts.values()) for word in wanted}

    def weight(words: AbstractSet[str]) -> float:
        return sum(weights[word] for word in wanted & words)

    section = max(texts, key=lambda each: weight(texts[each]) + weight(_words(each.title)))
    if not wanted or weight(texts[section]) <= ENOUGH * weight(wanted):
        return None
    # A list belongs to the sentence that announces it: without its items it would mislead.
    whole = _CODE.sub("", section.text).replace(":\n\n- ", ": - ")
    lines = [" ".join(part.split()) for part in whole.split("\n\n")]
    sentences = [each for line in lines for each in _SENTENCE_END.split(_MARKS.sub("", line))]
    sentences = [
        each for each in sentences if SHORTEST <= len(each) <= LONGEST and not each.endswith(":")
    ]
    if not sentences:
        return None
    first = max(sentences, key=lambda each: weight(_words(each)))
    rest = [each for each in sentences if each != first]
    # The second adds the words that the first lacks.
    closest = [first, *sorted(rest, key=lambda each: -weight(_words(each) - _words(first)))[:1]]
    return section, sorted(closest, key=sentences.index)


def _rarity(word: str, texts: Collection[AbstractSet[str]]) -> float:
    """Return the logarithm of the inverse share of the texts that have a word."""
    return math.log((len(texts) + 1) / max(1, sum(word in text for text in texts)))


def _words(text: str) -> set[str]:
    """Return the stems of the words that count."""
    return {_stem(word) for word in _WORD.findall(text.casefold()) if word not in _COMMON}


def _stem(word: str) -> str:
    """Return a word without its ending.

    >>> [_stem(word) for word in ("cancelling", "cancelled", "cancels", "cancellation")]
    ['cancel', 'cancel', 'cancel', 'cancel']
    """
    return _DOUBLED.sub("", _ENDING.sub("", word))
