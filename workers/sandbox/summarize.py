"""Extract summaries: choose the sentences with the terms that weigh most in a text.

docs/decisions/sandbox-language.md explains why no summarising library is used.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from workers.sandbox import clauses, document
from workers.sandbox import text as texts
from workers.sandbox.cues import Cues

SHORTLIST = 150
_REPEATED = 0.25
"""Share of its weight that a term keeps once a chosen sentence has it."""

_SAME = 0.65
"""Two sentences that share more than this of the shorter one's terms have the same content."""

_MIN_TERMS = 3
_IN_TITLE = 1.3
_LEAD, _OPENING = 0.4, 1.5
"""Bonus of the first place in a text, in general and for the sentence that states the subject."""

_WANTED = 1.7
"""Factor of a sentence with a kind of content that is wanted and still missing."""

_FORM = {"sentence": 1.0, "item": 0.85, "row": 0.6, "heading": 0.3}
_COMMAS = 4
_SIGN = re.compile(r"[{}\[\]|/=_<>+:;\\]")
_DAY = (
    r"(?!(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|May|June|July"
    r"|August|September|October|November|December)\b)"
)
_KINDS = {
    "numbers": re.compile(r"\d"),
    "names": re.compile(
        rf"(?<=[a-z,;:] ){_DAY}[A-Z][a-z]+|\b[A-Z]{{2,}}\b|^[A-Z][a-z]+ {_DAY}[A-Z][a-z]+"
    ),
    "decisions": re.compile(
        r"\b(?:decid|agree|conclu|will\b|must\b|should\b|approv|reject|resolv|plan|next step|action"
        r"|therefore|result)",
        re.IGNORECASE,
    ),
}
_DEPENDENT = re.compile(
    r"^(?:it|its|this|that|these|those|they|he|she|such|and|but|or|so|then|also|however|instead"
    r"|which|both|here|there)\b",
    re.IGNORECASE,
)


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

    sentence: int = clauses.NATURAL[1]
    fact: int = 120
    facts: int = 100


class Summarizer:
    """Ranks the sentences of one text."""

    def __init__(self, text: str) -> None:
        found = document.units(text)
        self._all = [_sentence(index, unit) for index, unit in enumerate(found)]
        counts = Counter(term for sentence in self._all for term in sentence.terms)
        titles = {
            t
            for s, unit in zip(self._all, found, strict=True)
            if unit.kind == "heading"
            for t in s.terms
        }
        self.weights = {
            term: math.log1p(count) * (_IN_TITLE if term in titles else 1.0)
            for term, count in counts.items()
        }

    @property
    def is_sparse(self) -> bool:
        """Whether the text holds too little for a summary."""
        return len(self.weights) < _MIN_TERMS

    def best(
        self,
        count: int,
        cues: Cues,
        *,
        skip: frozenset[int] = frozenset(),
        limit: int = 0,
        opening: bool = False,
    ) -> list[Sentence]:
        """Return the `count` best sentences in reading order, without those in `skip`.

        A sentence with the content of another one, or of one in `skip`, is left out. With a
        `limit`, sentences up to this width are preferred. With an `opening`, the first choice
        states the subject of the text: it comes from near the beginning.
        """
        used = [set(sentence.terms) for sentence in self._all if sentence.index in skip]
        seen = set().union(*used)
        pool = self._shortlist(count, cues, skip, limit)
        chosen: list[Sentence] = []
        while pool and len(chosen) < count:
            subject = opening and not chosen
            missing = Cues() if subject and count > 1 else _missing(cues, chosen)
            lead = _OPENING if subject else 0.0
            gains = [
                self.gain(s, missing, limit, seen) * (1 + lead / (1 + s.index / 8)) for s in pool
            ]
            best = pool.pop(gains.index(max(gains)))
            if not any(_same(best, terms) for terms in used):
                chosen.append(best)
                used.append(set(best.terms))
                seen.update(best.terms)
        return sorted(chosen, key=lambda sentence: sentence.index)

    def worth(self, text: str) -> float:
        """Return the weight of a text in relation to its length."""
        terms = sorted(set(texts.terms(text)))
        weight = sum(self.weights.get(term, 0.0) for term in terms)
        return weight / math.pow(len(terms) + 4, 0.6)

    def top_terms(self, count: int) -> list[str]:
        """Return the terms that weigh most."""
        return sorted(self.weights, key=lambda t: (-self.weights[t] * len(t) ** 0.5, t))[:count]

    def _shortlist(
        self, count: int, cues: Cues, skip: frozenset[int], limit: int
    ) -> list[Sentence]:
        rest = [s for s in self._all if s.index not in skip]
        prose = [s for s in rest if s.terms and s.form > _FORM["heading"]]
        full = [s for s in prose if len(s.terms) >= _MIN_TERMS]
        pool = full if len(full) >= count else prose or [s for s in rest if s.terms] or rest
        return sorted(pool, key=lambda s: -self.gain(s, cues, limit))[:SHORTLIST]

    def gain(
        self,
        sentence: Sentence,
        cues: Cues,
        limit: int,
        seen: frozenset[str] | set[str] = frozenset(),
    ) -> float:
        """Return what a sentence adds to the chosen ones: weight by length, form and cues."""
        weight = sum(self.weights[t] * (_REPEATED if t in seen else 1.0) for t in sentence.terms)
        gain: float = weight / (len(sentence.terms) + 4) ** (0.35 if cues.coverage else 0.6)
        # The subject is at the beginning of a text; without other demands it is enough.
        gain *= 1.0 + (_LEAD if cues.demands else 2 * _LEAD) / (1 + sentence.index / 8)
        if any(getattr(cues, kind) for kind in sentence.brings):
            gain *= _WANTED
        if limit and sentence.width > limit:
            gain *= 0.5
        return gain * sentence.form


def _sentence(index: int, unit: document.Unit) -> Sentence:
    brings = frozenset(kind for kind, pattern in _KINDS.items() if pattern.search(unit.text))
    terms = tuple(sorted(set(texts.terms(unit.text))))
    wide = clauses.width(unit.text)
    return Sentence(index, unit.text, terms, wide, _form(unit, wide), brings)


def _form(unit: document.Unit, wide: int) -> float:
    """Rate how a unit reads alone: natural length, no question, no reference to another one."""
    text, kind, (least, most) = unit.text, unit.kind, clauses.NATURAL
    form = _FORM[kind]
    if kind == "heading":
        return form
    # An enumeration, a price list and a line of settings are true, but no summary.
    listed = len(_SIGN.findall(text)) + max(0, text.count(",") - _COMMAS)
    flaws = (
        (wide < least, 0.6 + 0.4 * wide / least),
        (wide > most, 0.6),
        (text.endswith(("?", "？", "؟")), 0.6),  # noqa: RUF001 - other scripts' marks
        (_DEPENDENT.match(text), 0.75),
        (kind == "sentence" and text[:1].islower(), 0.8),
        (any(text.count(pair[0]) != text.count(pair[1]) for pair in ("()", "[]", "{}")), 0.5),
        (listed, max(0.3, 1.0 - 0.06 * listed)),
    )
    form *= math.prod(factor for applies, factor in flaws if applies)
    return max(form, _FORM["heading"] + 0.01)


def _missing(cues: Cues, chosen: list[Sentence]) -> Cues:
    """Return the cues without the kinds of content that the chosen sentences have."""
    brought = {kind for sentence in chosen for kind in sentence.brings}
    missing: dict[str, Any] = dict.fromkeys(brought, False)
    return replace(cues, **missing)


def _same(sentence: Sentence, terms: set[str]) -> bool:
    smaller = min(len(sentence.terms), len(terms))
    return smaller > 0 and sum(term in terms for term in sentence.terms) > _SAME * smaller


def summary(
    source: Summarizer, cues: Cues, *, default: int = 2, lengths: Lengths | None = None
) -> tuple[str, frozenset[int]]:
    """Return a summary and the places of its sentences in the text."""
    limit = (lengths or Lengths()).sentence
    chosen = source.best(cues.sentences or default, cues, limit=limit, opening=True)
    whole = clauses.join(
        [clauses.finish(clauses.shorten(s.text, limit, source.worth)) for s in chosen]
    )
    if cues.words is not None and len(whole.split()) > cues.words:
        whole = " ".join(whole.split()[: cues.words]).rstrip(",;:") + "…"
    return whole, frozenset(s.index for s in chosen)


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
    ranked = sorted(chosen, key=lambda s: -source.gain(s, wanted, lengths.fact))
    made = (clauses.shorten(s.text, lengths.fact, source.worth) for s in ranked)
    return list(dict.fromkeys(clauses.finish(text) for text in made))
