"""Extractive summaries: the sentences that carry most of what a text keeps coming back to."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace

from workers.sandbox import clauses, document
from workers.sandbox import text as texts
from workers.sandbox.cues import Cues

MAX_SENTENCES = 1500
"""Units considered; of a longer text, evenly spread ones."""

SHORTLIST = 150
_REPEATED = 0.25
"""What a term is still worth once a chosen sentence has it."""

_SAME = 0.65
"""Two sentences that share more than this of the shorter one's terms say the same."""

_MIN_TERMS = 3
_READ = 2000
"""Characters of one unit that are read; nobody writes a longer sentence."""

_HEADLINED = 1.3
_LEAD = 0.4
_OPENING = 1.5
"""What the first place in the text adds to the sentence that says what it is about."""

_WANTED = 1.7
"""What a sentence gains by bringing a kind of content that is asked for and still missing."""

_KIND = {"sentence": 1.0, "item": 0.85, "row": 0.6, "heading": 0.3}
_COMMAS = 4
_SIGN = re.compile(r"[{}\[\]|/=_<>+:;\\]")
_DIGIT = re.compile(r"\d")
_DAY = (
    r"(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|May|June|July"
    r"|August|September|October|November|December)\b"
)
_NAME = re.compile(
    rf"(?<=[a-z,;:] )(?!{_DAY})[A-Z][a-z]+|\b[A-Z]{{2,}}\b|^[A-Z][a-z]+ (?!{_DAY})[A-Z][a-z]+"
)
_DECISION = re.compile(
    r"\b(?:decid|agree|conclu|will\b|must\b|should\b|approv|reject|resolv|plan|next step|action"
    r"|therefore|result)",
    re.IGNORECASE,
)
_LEANING = re.compile(
    r"^(?:it|its|this|that|these|those|they|he|she|such|and|but|or|so|then|also|however|instead"
    r"|which|both|here|there)\b",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Sentence:
    """A unit with its place in the text, its terms and its worth."""

    index: int
    text: str
    terms: tuple[str, ...]
    """Each once, sorted, so that sums come out the same in every process."""

    form: float = 1.0
    """From 0 to 1: how well it reads on its own, whatever it says."""

    worth: float = 0.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """How wide the sentences of a summary and of a fact may be, and how many facts there are."""

    sentence: int = clauses.NATURAL[1]
    fact: int = 120
    facts: int = 100


class Summarizer:
    """Ranks the sentences of one text; what was read is kept for the next question about it."""

    def __init__(self, text: str) -> None:
        found = document.units(text)
        step = max(1, math.ceil(len(found) / MAX_SENTENCES))
        self._all = [_sentence(i, unit) for i, unit in enumerate(found[::step])]
        counts = Counter(term for sentence in self._all for term in sentence.terms)
        titles = {t for u in found[::step] if u.kind == "heading" for t in texts.terms(u.text)}
        self.weights = {
            term: math.log1p(count) * (_HEADLINED if term in titles else 1.0)
            for term, count in counts.items()
        }

    @property
    def is_sparse(self) -> bool:
        """Whether the text holds too little to speak of."""
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
        """The `count` most telling sentences in reading order, without those in `skip`.

        What says the same as another, or as one in `skip`, is taken only for want of others.
        With a `limit`, sentences no wider than it are preferred. With an `opening`, the first
        one chosen is to say what the text is about: it comes from near the beginning.
        """
        said = [set(s.terms) for s in self._all if s.index in skip]
        seen = set().union(*said)
        pool = self._shortlist(count, cues, skip, limit)
        chosen: list[Sentence] = []
        while pool and len(chosen) < count:
            missing = _outstanding(cues, chosen)
            first = 0.0
            if opening and not chosen:
                first = _OPENING
                # What a text is about comes before what is to be kept of it.
                missing = missing if count == 1 else Cues()
            best = max(
                pool,
                key=lambda s: self._gain(s, seen, missing, limit) * (1 + first / (1 + s.index / 8)),
            )
            pool.remove(best)
            if any(_same(best, terms) for terms in said):
                continue
            chosen.append(best)
            said.append(set(best.terms))
            seen.update(best.terms)
        return sorted(chosen, key=lambda s: s.index)

    def worth(self, text: str) -> float:
        """What a piece of text is worth for its length."""
        terms = set(texts.terms(text))
        weight = math.fsum(self.weights.get(t, 0.0) for t in terms)
        return weight / math.pow(len(terms) + 4, 0.6)

    def top_terms(self, count: int) -> list[str]:
        """The terms that weigh most."""
        return sorted(self.weights, key=lambda t: (-self.weights[t] * len(t) ** 0.5, t))[:count]

    def _shortlist(
        self, count: int, cues: Cues, skip: frozenset[int], limit: int
    ) -> list[Sentence]:
        whole = [s for s in self._all if s.index not in skip]
        pool = [s for s in whole if len(s.terms) >= _MIN_TERMS and s.form > _KIND["heading"]]
        if len(pool) < count:
            pool = [s for s in whole if s.terms and s.form > _KIND["heading"]]
            pool = pool or [s for s in whole if s.terms] or whole
        for sentence in pool:
            sentence.worth = self._gain(sentence, set(), cues, limit)
        return sorted(pool, key=lambda s: -s.worth)[:SHORTLIST]

    def _gain(self, sentence: Sentence, seen: set[str], cues: Cues, limit: int) -> float:
        """What a sentence adds to what is chosen. Weight per length, bent by form and cues."""
        weight = sum(self.weights[t] * (_REPEATED if t in seen else 1.0) for t in sentence.terms)
        score: float = weight / (len(sentence.terms) + 4) ** (0.35 if cues.coverage else 0.6)
        # What a text is about, it says early; where nothing else is asked for, that is enough.
        score *= 1.0 + (_LEAD if cues.demands else 2 * _LEAD) / (1 + sentence.index / 8)
        if _brings(sentence, cues):
            score *= _WANTED
        if limit and clauses.width(sentence.text) > limit:
            score *= 0.5
        return score * sentence.form


def _sentence(index: int, unit: document.Unit) -> Sentence:
    text = unit.text if len(unit.text) <= _READ else texts.clip(unit.text, _READ)
    terms = tuple(sorted(set(texts.terms(text))))
    return Sentence(index, text, terms, _form(text, unit.kind))


def _form(text: str, kind: document.Kind) -> float:
    """How well a unit reads on its own: natural length, no question, no word that points back."""
    least, most = clauses.NATURAL
    wide = clauses.width(text)
    form = _KIND[kind]
    if kind == "heading":
        return form
    if wide < least:
        form *= 0.6 + 0.4 * wide / least
    elif wide > most:
        form *= 0.6
    if text.endswith(("?", "？", "؟")):  # noqa: RUF001 - other scripts' marks
        form *= 0.6
    if _LEANING.match(text):
        form *= 0.75
    if text[:1].islower() and kind == "sentence":
        form *= 0.8
    if any(text.count(opening) != text.count(closing) for opening, closing in ("()", "[]", "{}")):
        form *= 0.5
    # An enumeration, a price list, a line of settings: true, but nobody's summary.
    listed = len(_SIGN.findall(text)) + max(0, text.count(",") - _COMMAS)
    form *= max(0.3, 1.0 - 0.06 * listed)
    return max(form, _KIND["heading"] + 0.01)


def _brings(sentence: Sentence, cues: Cues) -> bool:
    """Whether the sentence has a kind of content that is asked for."""
    return bool(
        (cues.numbers and _DIGIT.search(sentence.text))
        or (cues.names and _NAME.search(sentence.text))
        or (cues.decisions and _DECISION.search(sentence.text))
    )


def _outstanding(cues: Cues, chosen: list[Sentence]) -> Cues:
    """The cues without the kinds of content that the chosen sentences have brought already."""
    return replace(
        cues,
        numbers=cues.numbers and not any(_DIGIT.search(s.text) for s in chosen),
        names=cues.names and not any(_NAME.search(s.text) for s in chosen),
        decisions=cues.decisions and not any(_DECISION.search(s.text) for s in chosen),
    )


def _same(sentence: Sentence, terms: set[str]) -> bool:
    smaller = min(len(sentence.terms), len(terms))
    return smaller > 0 and sum(t in terms for t in sentence.terms) > _SAME * smaller


def summary(
    source: Summarizer, cues: Cues, *, default: int = 2, lengths: Lengths | None = None
) -> tuple[str, frozenset[int]]:
    """A summary as text, and which sentences it used. Each of its sentences is one of the text."""
    limit = (lengths or Lengths()).sentence
    chosen = source.best(cues.sentences or default, cues, limit=limit, opening=True)
    lines = [clauses.finish(clauses.shorten(s.text, limit, source.worth)) for s in chosen]
    whole = clauses.join(lines)
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
    """Further telling sentences, those with figures and names before others."""
    lengths = lengths or Lengths()
    wanted = Cues(numbers=True, names=True, decisions=cues.decisions)
    count = min(count, lengths.facts)
    chosen = source.best(count, wanted, skip=skip, limit=lengths.fact)
    chosen = chosen or source.best(count, wanted, limit=lengths.fact)
    chosen = [s for s in chosen if s.form > _KIND["heading"]] or chosen[:1]
    ranked = sorted(chosen, key=lambda s: -s.worth)
    made = (clauses.shorten(s.text, lengths.fact, source.worth) for s in ranked)
    return list(dict.fromkeys(clauses.finish(text) for text in made))
