"""The comparison within each tag. It is reported, and never decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.statistics.distributions import Floats
from evals.statistics.paired import LEAST_GROUPS, clustered_t, grouping, holm, mcnemar


@dataclass(frozen=True, slots=True)
class TagResult:
    """The comparison within the cases of one tag."""

    tag: str
    cases: int
    difference_points: float
    """Candidate minus baseline of the pass rate."""
    p: float | None
    """Two-sided, uncorrected. None with fewer than two groups."""
    p_holm: float | None
    """Corrected for the number of tags with a test."""


def by_tag(
    tags: Sequence[Sequence[str]],
    groups: Sequence[str],
    passes: Floats,
    tested: Floats,
    *,
    single: bool,
) -> tuple[TagResult, ...]:
    """Return the result of each tag, in alphabetical order.

    Args:
        tags: The tags of each case.
        groups: The group of each case.
        passes: Candidate minus baseline of each case's pass rate.
        tested: The same of the values that the verdict tests: passes or scores.
        single: Whether each arm has one repeat and no judge.
    """
    found: list[tuple[str, int, float, float | None]] = []
    for tag in sorted({tag for of_case in tags for tag in of_case}):
        index = [number for number, of_case in enumerate(tags) if tag in of_case]
        within = grouping([groups[number] for number in index])
        p: float | None = None
        if within.count >= LEAST_GROUPS:
            if single and within.single:
                p = float(mcnemar(tested[index], two_sided=True))
            else:
                p = float(clustered_t(tested[index], within, two_sided=True))
        found.append((tag, len(index), float(np.mean(passes[index]) * 100), p))
    corrected = iter(holm([p for *_, p in found if p is not None]))
    return tuple(
        TagResult(tag, cases, points, p, None if p is None else next(corrected))
        for tag, cases, points, p in found
    )
