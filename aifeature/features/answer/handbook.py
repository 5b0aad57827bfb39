"""The sections of the handbook, and the search for the words of a question in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
_WORD = re.compile(r"[^\W\d_]{3,}|\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

_COMMON: Final = frozenset(
    [
        "and",
        "are",
        "can",
        "does",
        "for",
        "from",
        "get",
        "has",
        "have",
        "how",
        "our",
        "the",
        "this",
        "that",
        "was",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
        "quizcraft",
    ]
)


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
    """Return the section closest to a question, and its two closest sentences.

    A word counts the more, the fewer sections have it, and twice in a title. None if no section has
    half of the question's words.
    """
    wanted = _words(question) - _COMMON
    if not wanted:
        return None
    texts = {each: _words(f"{each.title} {each.text}") for each in sections().values()}
    weights = {word: 1 / max(1, sum(word in text for text in texts.values())) for word in wanted}

    def score(section: Source) -> float:
        found, titled = wanted & texts[section], wanted & _words(section.title)
        return sum(weights[word] for word in (*found, *titled))

    section = max(texts, key=score)
    if len(wanted & texts[section]) * 2 < len(wanted):
        return None
    # A list belongs to the sentence that announces it: without its items it would mislead.
    whole = section.text.replace(":\n\n- ", ": - ")
    lines = [" ".join(part.split()) for part in whole.split("\n\n")]
    sentences = [each for line in lines for each in _SENTENCE_END.split(_MARKS.sub("", line))]
    sentences = [
        each for each in sentences if SHORTEST <= len(each) <= LONGEST and not each.endswith(":")
    ]
    closest = sorted(sentences, key=lambda each: -len(wanted & _words(each)))[:2]
    return section, sorted(closest, key=sentences.index)


def _words(text: str) -> set[str]:
    return {word.rstrip("s") for word in _WORD.findall(text.casefold())}
