"""A judge: how much of the source an answer covers, and how much of the answer the source backs."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass

from workers.sandbox import text as texts

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_FULL_COVERAGE = 0.6
"""An answer that carries this share of the weight of the source's top terms covers it."""

_ROOM = 60
"""An answer need not carry more of a long source's terms than this."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Both shares from 0 to 1, the grade (also 0 to 1), and what is wrong."""

    coverage: float
    faithfulness: float
    grade: float
    missing: tuple[str, ...]
    unsupported: tuple[str, ...]

    def score(self, low: int, high: int) -> int:
        """The grade on a scale of whole numbers."""
        return low + round(self.grade * (high - low))

    @property
    def reason(self) -> str:
        """A sentence or two for people."""
        said = f"Covers {self.coverage:.0%} of what weighs in the source"
        said += f"; {self.faithfulness:.0%} of its content is backed by it."
        if self.unsupported:
            said += f" Not in the source: {', '.join(self.unsupported[:5])}."
        if self.missing:
            said += f" Missing: {', '.join(self.missing[:5])}."
        return said


def prose(answer: str) -> str:
    """The text of an answer that is given as JSON: its values without their names."""
    try:
        value = json.loads(answer)
    except ValueError:
        return answer
    return " ".join(_values(value))


def _values(value: object) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for inner in value for text in _values(inner)]
    return [str(value)]


def judge(candidate: str, source: str, reference: str = "") -> Judgement:
    """Judge a candidate against its source; coverage against the reference, if there is one."""
    candidate, source = texts.plain(prose(candidate)), texts.plain(source)
    said = Counter(texts.terms(candidate))
    known = Counter(texts.terms(f"{source} {reference}"))
    if not said:
        return Judgement(0.0, 0.0, 0.0, (), ())
    unsupported = [term for term in said if term not in known]
    invented = set(_NUMBER.findall(candidate)) - set(_NUMBER.findall(f"{source} {reference}"))
    # A wrong figure misleads more than a wrong word: it counts three times.
    wrong = len(unsupported) + 2 * len(invented)
    faithfulness = max(0.0, 1 - wrong / (len(said) + 2 * len(invented)))
    weights = Counter(texts.terms(reference)) if reference.strip() else known
    room = len(weights) if reference.strip() else max(len(said), min(_ROOM, len(known) // 2))
    top = weights.most_common(room)
    have = sum(n**0.5 for term, n in top if term in said)
    coverage = have / (sum(n**0.5 for _, n in top) or 1.0)
    grade = faithfulness**2 * (0.2 + 0.8 * min(1.0, coverage / _FULL_COVERAGE))
    missing = tuple(term for term, _ in top if term not in said)
    return Judgement(
        round(coverage, 3), round(faithfulness, 3), grade, missing[:8], tuple(unsupported[:8])
    )
