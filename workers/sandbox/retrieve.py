"""Find the sections of a text that answer a question, ranked with BM25.

docs/decisions/sandbox-language.md explains why the formula is our own.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from workers.sandbox import document
from workers.sandbox import text as texts

K1, B = 1.5, 0.75
"""Robertson's usual constants of BM25."""

MAX_SECTIONS = 3000
"""Sections that are ranked; further ones are not read."""

ENOUGH = 0.4
"""Share of the question's weight that a passage must hold to count as an answer."""

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
    """A section that shares words with the question, and its sentences, closest first."""

    section: Section
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The best sections. `coverage` (0 to 1) is the best one's share of the question's weight."""

    hits: tuple[Hit, ...]
    coverage: float

    @property
    def known(self) -> bool:
        """Whether the text answers the question."""
        return bool(self.hits) and self.coverage >= ENOUGH


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
        return [
            Section(_id(title), title, text[heading.end() : end])
            for heading, end in zip(headings, ends, strict=True)
            for title in (heading[1][:_LONGEST_TITLE].rstrip(" \t#"),)
        ]
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return [Section(str(number), "", part) for number, part in enumerate(paragraphs, 1)]


def _id(title: str) -> str:
    """Return the anchor of a heading, or else its number, or else all of it."""
    found = _ANCHOR.search(title) or _NUMBERED.match(title)
    return next(group for group in found.groups() if group) if found else title


def retrieve(question: str, text: str, *, limit: int = 3) -> Finding:
    """Return the best sections for a question."""
    parts = sections(text)[:MAX_SECTIONS]
    asked = [term for term in dict.fromkeys(texts.terms(question)) if term not in _ASKING]
    if not parts or not asked:
        return Finding((), 0.0)
    documents = [Counter(texts.terms(f"{s.title} {s.title} {s.text}")) for s in parts]
    idf = _idf(asked, documents)
    mean = sum(terms.total() for terms in documents) / len(documents) or 1.0
    scores = [_bm25(terms, idf, mean) for terms in documents]
    ranked = sorted(range(len(parts)), key=lambda i: -scores[i])
    best = ranked[0]
    hits = tuple(
        Hit(parts[i], _sentences(parts[i], idf))
        for i in ranked[:limit]
        if scores[i] > 0 and scores[i] >= scores[best] * 0.6
    )
    return Finding(hits, _weight(documents[best], idf) / sum(idf.values()) if hits else 0.0)


def _idf(asked: list[str], documents: list[Counter[str]]) -> dict[str, float]:
    total = len(documents)
    counts = {term: sum(term in terms for terms in documents) for term in asked}
    weights = {t: math.log(1 + (total - n + 0.5) / (n + 0.5)) + 0.1 for t, n in counts.items()}
    found = [weight for term, weight in weights.items() if counts[term]]
    # A word that the text lacks may be a synonym of one that it has: it weighs their mean.
    absent = sum(found) / len(found) if found else 1.0
    return {term: weight if counts[term] else absent for term, weight in weights.items()}


def _bm25(terms: Counter[str], idf: dict[str, float], mean: float) -> float:
    norm = K1 * (1 - B + B * terms.total() / mean)
    return sum(w * terms[t] * (K1 + 1) / (terms[t] + norm) for t, w in idf.items() if t in terms)


def _weight(terms: Counter[str] | set[str], idf: dict[str, float]) -> float:
    return sum(weight for term, weight in idf.items() if term in terms)


def _sentences(section: Section, idf: dict[str, float]) -> tuple[str, ...]:
    """Return the section's sentences, those that share most with the question first."""
    found = [unit.text for unit in document.units(section.text) if unit.kind != "heading"]
    return tuple(sorted(found, key=lambda text: -_weight(set(texts.terms(text)), idf)))
