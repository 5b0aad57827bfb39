"""Extract summaries: choose the sentences with the terms that weigh most in a text.

docs/decisions/sandbox-language.md compares this with the summarisers of libraries.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from workers.sandbox import document
from workers.sandbox import text as texts
from workers.sandbox.cues import Cues

NATURAL = (40, 240)
"""Width of a sentence that reads well."""

_SHORTLIST = 150
_REPEATED = 0.25
"""Share of its weight that a term keeps once a chosen sentence has it."""

_SAME = 0.65
"""Two sentences that share more than this of the shorter one's terms have the same content."""

_MIN_TERMS = 3
_WANTED = 1.7
"""Factor of a sentence with a kind of content that is wanted and still missing."""

_FORM = {"sentence": 1.0, "item": 0.85, "row": 0.6, "heading": 0.05}
_DAY = r"(?!(?:\w+day|\w+uary|\w+ember|October|March|April|May|June|July|August)\b)"
_KINDS = {
    "numbers": re.compile(r"\d"),
    "names": re.compile(
        rf"(?<=[a-z,;:] ){_DAY}[A-Z][a-z]+|\b[A-Z]{{2,}}\b|^[A-Z][a-z]+ {_DAY}[A-Z][a-z]+"
    ),
    "decisions": re.compile(
        r"\b(?:decid|agree|conclu|will\b|must\b|approv|reject|resolv|plan|therefore|result)",
        re.IGNORECASE,
    ),
}
_DEPENDENT = re.compile(
    r"(?:it|its|this|that|these|those|they|he|she|such|and|but|or|so|then|also|however|here)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[,;:—–，；：、]\s*")  # noqa: RUF001 - other scripts have their own marks
_ASIDE = re.compile(r"\s*(?:\([^()]{1,400}\)|（[^（）]{1,400}）)")  # noqa: RUF001
_END = re.compile(r"[.!?…。！？؟۔।][\"'”’»)\]）」』]*$")  # noqa: RUF001
_CJK_END = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]$")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A unit with its place in the text and its terms."""

    index: int
    text: str
    terms: tuple[str, ...]
    """Each once, sorted, so that sums are equal in every process."""

    width: int
    form: float
    """From 0 to 1: how well the unit reads alone, independently of its content."""

    brings: frozenset[str]
    """The kinds of content that it has."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """The width of a sentence and of a fact, and the number of facts."""

    sentence: int = NATURAL[1]
    fact: int = 120
    facts: int = 100


class Summarizer:
    """Ranks the sentences of one text."""

    def __init__(self, text: str) -> None:
        self._all = [_sentence(index, unit) for index, unit in enumerate(document.units(text))]
        counts = Counter(term for sentence in self._all for term in sentence.terms)
        self.weights = {term: math.log1p(count) for term, count in counts.items()}

    @property
    def is_sparse(self) -> bool:
        """Whether the text holds too little for a summary."""
        return len(self.weights) < _MIN_TERMS

    def best(
        self, count: int, cues: Cues, *, skip: frozenset[int] = frozenset(), limit: int = 0
    ) -> list[Sentence]:
        """Return the `count` best sentences, best first, without those in `skip`.

        A sentence with the content of another one, or of one in `skip`, is left out. With a
        `limit`, sentences up to this width are preferred.
        """
        used = [set(sentence.terms) for sentence in self._all if sentence.index in skip]
        seen = set().union(*used)
        rest = [s for s in self._all if s.index not in skip and s.terms] or self._all
        full = [s for s in rest if len(s.terms) >= _MIN_TERMS and s.form > _FORM["heading"]]
        pool = full if len(full) >= count else rest
        if len(pool) > _SHORTLIST:
            pool = sorted(pool, key=lambda s: -self._gain(s, cues, limit, set(), set()))
        pool = list(pool[:_SHORTLIST])
        chosen: list[Sentence] = []
        while pool and len(chosen) < count:
            brought = {kind for sentence in chosen for kind in sentence.brings}
            gains = [self._gain(s, cues, limit, seen, brought) for s in pool]
            best = pool.pop(gains.index(max(gains)))
            if not any(_same(best, terms) for terms in used):
                chosen.append(best)
                used.append(set(best.terms))
                seen.update(best.terms)
        return chosen

    def _gain(
        self, sentence: Sentence, cues: Cues, limit: int, seen: set[str], brought: set[str]
    ) -> float:
        """Return what a sentence adds to the chosen ones: weight by length, place, form, cues."""
        weight = sum(self.weights[t] * (_REPEATED if t in seen else 1.0) for t in sentence.terms)
        gain: float = weight / (len(sentence.terms) + 4) ** (0.35 if cues.coverage else 0.6)
        # The subject is at the beginning of a text; without other demands it is enough.
        gain *= 1.0 + (0.4 if cues.demands else 0.8) / (1 + sentence.index / 8)
        if any(getattr(cues, kind) for kind in sentence.brings - brought):
            gain *= _WANTED
        return gain * sentence.form * (0.5 if limit and sentence.width > limit else 1.0)

    def top_terms(self, count: int) -> list[str]:
        """Return the terms that weigh most."""
        return sorted(self.weights, key=lambda t: (-self.weights[t] * len(t) ** 0.5, t))[:count]


def _sentence(index: int, unit: document.Unit) -> Sentence:
    text, wide = unit.text, texts.width(unit.text)
    flaws = (
        (wide < NATURAL[0], 0.6 + 0.4 * wide / NATURAL[0]),
        (wide > NATURAL[1], 0.6),
        (text.endswith(("?", "？", "؟")), 0.6),  # noqa: RUF001 - other scripts' marks
        (_DEPENDENT.match(text), 0.75),
        (text.count(",") > 4, 0.7),  # noqa: PLR2004 - an enumeration is true, but no summary
    )
    form = _FORM[unit.kind]
    if unit.kind != "heading":
        form *= math.prod(factor for applies, factor in flaws if applies)
    terms = tuple(sorted(set(texts.terms(text))))
    brings = frozenset(kind for kind, pattern in _KINDS.items() if pattern.search(text))
    return Sentence(index, text, terms, wide, form, brings)


def _same(sentence: Sentence, terms: set[str]) -> bool:
    smaller = min(len(sentence.terms), len(terms))
    return smaller > 0 and sum(term in terms for term in sentence.terms) > _SAME * smaller


def summary(
    source: Summarizer, cues: Cues, *, default: int = 2, lengths: Lengths | None = None
) -> tuple[str, frozenset[int]]:
    """Return a summary and the places of its sentences in the text."""
    limit = (lengths or Lengths()).sentence
    chosen = source.best(cues.sentences or default, cues, limit=limit)
    ordered = sorted(chosen, key=lambda sentence: sentence.index)
    whole = " ".join(finished(sentence.text, limit) for sentence in ordered)
    whole = re.sub(r"(?<=[。！？]) ", "", whole)  # noqa: RUF001
    if cues.words is not None and len(whole.split()) > cues.words:
        whole = " ".join(whole.split()[: cues.words]).rstrip(",;:") + "…"
    return whole, frozenset(sentence.index for sentence in chosen)


def facts(
    source: Summarizer,
    count: int,
    cues: Cues,
    skip: frozenset[int],
    lengths: Lengths | None = None,
) -> list[str]:
    """Return more sentences, those with figures and names before others."""
    lengths = lengths or Lengths()
    wanted = Cues(numbers=True, names=True, decisions=cues.decisions)
    count = min(count, lengths.facts)
    chosen = source.best(count, wanted, skip=skip, limit=lengths.fact)
    chosen = chosen or source.best(count, wanted, limit=lengths.fact)
    chosen = [s for s in chosen if s.form > _FORM["heading"]] or chosen[:1]
    return list(dict.fromkeys(finished(sentence.text, lengths.fact) for sentence in chosen))


def finished(text: str, limit: int) -> str:
    """Return a sentence of at most about `limit` columns, cut at a comma if one is near.

    It begins with a capital and ends with a full stop of its script.
    """
    if texts.width(text) > limit:
        text = _ASIDE.sub("", text)
    if (wide := texts.width(text)) > limit:
        room = max(1, limit * len(text) // wide)
        marks = list(_CLAUSE.finditer(text, 0, room + 1))
        ends = [m.start() for m in marks if m[0][0] in ";；—–" and m.start() > NATURAL[0] // 2]  # noqa: RUF001
        cuts = ends[:1] or [m.start() for m in marks if m.start() * 2 > room]
        text = text[: cuts[-1]] if cuts else texts.clip(text, room).rstrip(",;:.") + "…"
    text = text.strip().rstrip(",;:，；：、—–-").rstrip() or text.strip()  # noqa: RUF001
    first = text.partition(" ")[0]
    if len(text) > 1 and first.isascii() and first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    if not text or _END.search(text):
        return text
    return text + ("。" if _CJK_END.search(text) else ".")
