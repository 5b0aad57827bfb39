"""Extractive summaries: the sentences that carry most of what a text keeps coming back to."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from workers.inference.sandbox import text as texts
from workers.inference.sandbox.cues import Cues

MAX_SENTENCES = 1500
"""Sentences considered; of a longer text, evenly spread ones."""

SHORTLIST = 150
_REPEATED = 0.25
"""What a term is still worth once a chosen sentence has it."""

_MIN_TERMS = 3
_LONG = 45
_DIGIT = re.compile(r"\d")
_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][a-z]+|\b[A-Z]{2,}\b")
_DECISION = re.compile(
    r"\b(?:decid|agree|conclu|will\b|must\b|should\b|approv|reject|resolv|plan|next step|action"
    r"|therefore|result)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Sentence:
    """A sentence with its place in the text, its terms and its worth."""

    index: int
    text: str
    terms: tuple[str, ...]
    """Each once, sorted, so that sums come out the same in every process."""

    worth: float = 0.0


class Summarizer:
    """Ranks the sentences of one text; what was read is kept for the next question about it."""

    def __init__(self, text: str) -> None:
        found = texts.sentences(texts.plain(text))
        step = max(1, math.ceil(len(found) / MAX_SENTENCES))
        self._all = [
            Sentence(i, s, tuple(sorted(set(texts.terms(s))))) for i, s in enumerate(found[::step])
        ]
        counts = Counter(term for sentence in self._all for term in sentence.terms)
        self.weights = {term: math.log1p(count) for term, count in counts.items()}

    def best(self, count: int, cues: Cues, *, skip: frozenset[int] = frozenset()) -> list[Sentence]:
        """The `count` most telling sentences in reading order, without those in `skip`."""
        pool = self._shortlist(count, cues, skip)
        seen: set[str] = set()
        for sentence in self._all:
            if sentence.index in skip:
                seen.update(sentence.terms)
        chosen: list[Sentence] = []
        while pool and len(chosen) < count:
            best = max(pool, key=lambda s: self._gain(s, seen, cues))
            pool.remove(best)
            chosen.append(best)
            seen.update(best.terms)
        return sorted(chosen, key=lambda s: s.index)

    def top_terms(self, count: int) -> list[str]:
        """The terms that weigh most."""
        return sorted(self.weights, key=lambda t: (-self.weights[t] * len(t) ** 0.5, t))[:count]

    def _shortlist(self, count: int, cues: Cues, skip: frozenset[int]) -> list[Sentence]:
        whole = [s for s in self._all if s.index not in skip]
        pool = [s for s in whole if len(s.terms) >= _MIN_TERMS and not s.text.startswith("#")]
        if len(pool) < count:
            pool = [s for s in whole if s.terms] or whole
        for sentence in pool:
            sentence.worth = self._gain(sentence, set(), cues)
        return sorted(pool, key=lambda s: -s.worth)[:SHORTLIST]

    def _gain(self, sentence: Sentence, seen: set[str], cues: Cues) -> float:
        """What a sentence adds to what is chosen. Weight per length, bent by place and cues."""
        weight = sum(self.weights[t] * (_REPEATED if t in seen else 1.0) for t in sentence.terms)
        size = len(sentence.terms)
        score: float = weight / (size + 4) ** (0.35 if cues.coverage else 0.6)
        if not cues.demands:
            score *= 1.0 + 0.5 / (1 + sentence.index)
        if cues.numbers and _DIGIT.search(sentence.text):
            score *= 1.35
        if cues.names and _NAME.search(sentence.text):
            score *= 1.2
        if cues.decisions and _DECISION.search(sentence.text):
            score *= 1.25
        if sentence.text.endswith(("?", "？", "؟")):  # noqa: RUF001 - other scripts' marks
            score *= 0.6
        return score * (0.7 if size > _LONG else 1.0)


def summary(source: Summarizer, cues: Cues, *, default: int = 2) -> tuple[str, frozenset[int]]:
    """A summary as text, and which sentences it used.

    Where facts are to be kept, each sentence of the summary may carry two of the text.
    """
    wanted = cues.sentences or default
    packed = 2 if cues.demands > 1 or cues.coverage else 1
    chosen = source.best(wanted * packed, cues)
    lines = [_joined(chosen[i : i + packed]) for i in range(0, len(chosen), packed)]
    whole = _glue(lines)
    if cues.words is not None and len(whole.split()) > cues.words:
        whole = " ".join(whole.split()[: cues.words]).rstrip(",;:") + "…"
    return whole, frozenset(s.index for s in chosen)


def facts(source: Summarizer, count: int, cues: Cues, skip: frozenset[int]) -> list[str]:
    """Further telling sentences, those with figures and names before others."""
    wanted = Cues(numbers=True, names=True, decisions=cues.decisions, coverage=cues.coverage)
    chosen = source.best(count, wanted, skip=skip) or source.best(count, wanted)
    return [sentence.text for sentence in chosen]


def _joined(sentences: list[Sentence]) -> str:
    parts = [s.text for s in sentences]
    parts = [p.rstrip(".。") for p in parts[:-1]] + parts[-1:]
    mark = "；" if parts and texts.CJK[0] <= parts[0][:1] else "; "  # noqa: RUF001
    whole = mark.join(parts)
    return whole if whole.endswith((".", "!", "?", "。", "！", "？", "…", "؟")) else whole + "."  # noqa: RUF001


def _glue(lines: list[str]) -> str:
    return "".join(
        line if i == 0 or lines[i - 1].endswith(("。", "！", "？")) else f" {line}"  # noqa: RUF001
        for i, line in enumerate(lines)
    )
