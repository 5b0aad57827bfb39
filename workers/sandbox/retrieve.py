"""Answers from the text in the prompt: BM25 over its sections, then over their sentences."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from workers.sandbox import document
from workers.sandbox import text as texts

K1, B = 1.5, 0.75
"""Robertson's usual constants of BM25."""

ENOUGH = 0.4
"""Share of the question's weight a passage must hold to count as an answer."""

_ASKING = frozenset(
    ("long", "many", "much", "tak", "work", "happen", "possibl", "need", "want", "know", "tell")
)
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_SECTION_TAG = re.compile(
    r"<(section|article|chapter|entry|doc|document|passage)\b([^<>]*)>(.*?)</\1\s*>", re.DOTALL
)
_ATTRIBUTE = re.compile(r"(?:id|ref|name|title)\s*=\s*[\"']([^\"']+)[\"']")
_ANCHOR = re.compile(
    r"\{#([\w.:/-]+)\}|^\[([\w.:/ -]+)\]|\[([\w.:/-]+)\]$|\(([\w]+[-_.][\w.-]+)\)$"
)
_NUMBERED = re.compile(r"^(?:§\s*)?([A-Za-z]{0,3}-?\d+(?:[.-]\d+)*)[.):]?\s")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the text with the name it is cited by."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A section that speaks of the question, its telling sentences, best section first."""

    section: Section
    score: float
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found. `coverage` (0 to 1) is the share of the question's weight in the best hit."""

    hits: tuple[Hit, ...]
    coverage: float

    @property
    def known(self) -> bool:
        """Whether the text answers the question."""
        return bool(self.hits) and self.coverage >= ENOUGH


def sections(text: str) -> list[Section]:
    """The sections of a text: by section tags, headings, or else paragraphs."""
    tagged = list(_SECTION_TAG.finditer(text))
    if tagged:
        return [_tagged(m, i) for i, m in enumerate(tagged, 1)]
    headings = list(_HEADING.finditer(text))
    if headings:
        ends = [*(m.start() for m in headings[1:]), len(text)]
        return [_headed(m[2], text[m.end() : end]) for m, end in zip(headings, ends, strict=True)]
    paragraphs = [p.strip() for p in re.split(r"\n\s*\n", text) if p.strip()]
    return [Section(str(i), "", p) for i, p in enumerate(paragraphs, 1)]


def _tagged(match: re.Match[str], number: int) -> Section:
    attribute = _ATTRIBUTE.search(match[2])
    return Section(attribute[1] if attribute else str(number), "", match[3])


def _headed(title: str, text: str) -> Section:
    anchor = _ANCHOR.search(title)
    if anchor:
        return Section(next(group for group in anchor.groups() if group), title, text)
    numbered = _NUMBERED.match(title)
    return Section(numbered[1] if numbered else title, title, text)


def retrieve(question: str, text: str, *, limit: int = 3) -> Finding:
    """The best sections for a question, and whether they answer it."""
    parts = [(s, Counter(texts.keys(f"{s.title} {s.title} {s.text}"))) for s in sections(text)]
    asked = [t for t in dict.fromkeys(texts.keys(question)) if t not in _ASKING]
    if not parts or not asked:
        return Finding((), 0.0)
    idf = _idf(asked, [terms for _, terms in parts])
    mean = sum(terms.total() for _, terms in parts) / len(parts) or 1.0
    ranked = sorted(
        ((_bm25(terms, idf, mean), i) for i, (_, terms) in enumerate(parts)),
        key=lambda r: (-r[0], r[1]),
    )
    best = ranked[0][0]
    hits = tuple(
        Hit(parts[i][0], score, _telling(parts[i][0], idf))
        for score, i in ranked[:limit]
        if score > 0 and score >= best * 0.6
    )
    return Finding(hits, _coverage(parts[ranked[0][1]][1], idf) if hits else 0.0)


def _idf(asked: list[str], documents: list[Counter[str]]) -> dict[str, float]:
    total = len(documents)
    counts = {t: sum(1 for d in documents if t in d) for t in asked}
    weights = {t: math.log(1 + (total - n + 0.5) / (n + 0.5)) + 0.1 for t, n in counts.items()}
    known = [w for t, w in weights.items() if counts[t]]
    # A word the text never uses may just be another word for one it does: it weighs their mean.
    strange = sum(known) / len(known) if known else 1.0
    return {t: w if counts[t] else strange for t, w in weights.items()}


def _bm25(terms: Counter[str], idf: dict[str, float], mean: float) -> float:
    norm = K1 * (1 - B + B * terms.total() / mean)
    return sum(idf[t] * terms[t] * (K1 + 1) / (terms[t] + norm) for t in idf if t in terms)


def _coverage(terms: Counter[str], idf: dict[str, float]) -> float:
    return sum(w for t, w in idf.items() if t in terms) / (sum(idf.values()) or 1.0)


def _telling(section: Section, idf: dict[str, float]) -> tuple[str, ...]:
    """The section's sentences, those that share most with the question first."""
    found = [unit.text for unit in document.units(section.text) if unit.kind != "heading"]
    scored = []
    for index, sentence in enumerate(found):
        have = set(texts.keys(sentence))
        scored.append((-sum(w for t, w in idf.items() if t in have), index, sentence))
    return tuple(sentence for _, _, sentence in sorted(scored))
