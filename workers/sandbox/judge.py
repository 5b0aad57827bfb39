"""Judge an answer: its coverage of the source, and the share of it that the source supports.

docs/decisions/sandbox-language.md explains why no library is used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic_core import from_json

from workers.sandbox import text as texts

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_FULL_COVERAGE = 0.6
"""Share of the weight of the source's top terms that counts as full coverage."""

_ROOM = 60
"""Terms of a long source that an answer must cover at most."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Both shares and the grade, from 0 to 1, and the terms that are wrong."""

    coverage: float = 0.0
    faithfulness: float = 0.0
    grade: float = 0.0
    missing: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()

    def score(self, low: int, high: int) -> int:
        """Return the grade on a scale of whole numbers."""
        return low + round(self.grade * (high - low))

    @property
    def reason(self) -> str:
        """Explain the grade in a sentence or two."""
        reason = f"Covers {self.coverage:.0%} of what weighs in the source"
        reason += f"; {self.faithfulness:.0%} of its content is backed by it."
        if self.unsupported:
            reason += f" Not in the source: {', '.join(self.unsupported[:5])}."
        if self.missing:
            reason += f" Missing: {', '.join(self.missing[:5])}."
        return reason


def prose(answer: str) -> str:
    """Return the values of an answer in JSON without the names of its fields."""
    try:
        return " ".join(_values(from_json(answer)))
    except ValueError:
        return answer


def _values(value: object) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _values(inner)
    else:
        yield str(value)


def judge(candidate: str, source: str, reference: str = "") -> Judgement:
    """Judge a candidate by its source; measure coverage on the reference, if there is one."""
    candidate, source = texts.plain(prose(candidate)), texts.plain(source)
    content = Counter(texts.terms(candidate))
    support = Counter(texts.terms(f"{source} {reference}"))
    if not content:
        return Judgement()
    unsupported = [term for term in content if term not in support]
    invented = set(_NUMBER.findall(candidate)) - set(_NUMBER.findall(f"{source} {reference}"))
    # A wrong figure misleads more than a wrong word: it counts three times.
    wrong = len(unsupported) + 2 * len(invented)
    faithfulness = max(0.0, 1 - wrong / (len(content) + 2 * len(invented)))
    weights = Counter(texts.terms(reference)) if reference.strip() else support
    room = len(weights) if reference.strip() else max(len(content), min(_ROOM, len(support) // 2))
    top = weights.most_common(room)
    covered = sum(n**0.5 for term, n in top if term in content)
    coverage = covered / (sum(n**0.5 for _, n in top) or 1.0)
    grade = faithfulness**2 * (0.2 + 0.8 * min(1.0, coverage / _FULL_COVERAGE))
    missing = tuple(term for term, _ in top if term not in content)
    return Judgement(
        round(coverage, 3), round(faithfulness, 3), grade, missing[:8], tuple(unsupported[:8])
    )
