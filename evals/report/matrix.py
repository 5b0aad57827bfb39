"""The matrix of cases and arms, sorted by regression."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aifeature.suites import Case
from evals.harness import plan
from evals.models import Run, Sample

PASSED: Final = "passed"
FAILED: Final = "failed"
UNSCORED: Final = "unscored"
OPEN: Final = "open"

ROLES: Final = {
    plan.BASELINE: "baseline",
    plan.CANDIDATE: "candidate",
    plan.FRESH: "again",
    plan.PLAIN: "plain",
}
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """An arm of the run."""

    arm: str
    title: str
    """The version of its prompt, or its role."""
    role: str


@dataclass(frozen=True, slots=True)
class Cell:
    """The repeats of one case in one arm, in order."""

    marks: tuple[str, ...]
    score: float | None
    """Mean from 0 to 1."""

    @property
    def passed(self) -> int:
        return self.marks.count(PASSED)

    @property
    def scored(self) -> int:
        return self.passed + self.marks.count(FAILED)

    @property
    def share(self) -> float | None:
        """Share of passes among the scored repeats."""
        return self.passed / self.scored if self.scored else None

    @property
    def is_flaky(self) -> bool:
        return 0 < self.passed < self.scored

    @property
    def kind(self) -> str:
        if not self.scored:
            return "empty"
        return "some" if self.is_flaky else "all" if self.passed else "none"


EMPTY: Final = Cell((), None)


@dataclass(frozen=True, slots=True)
class Row:
    """A case with its results."""

    case: Case
    cells: Mapping[str, Cell]
    change: float | None
    """Candidate minus baseline of the share of passes. None without both."""
    score_change: float | None
    states: tuple[str, ...]
    """The filters that show it."""


def columns(run: Run, samples: Iterable[Sample]) -> tuple[Column, ...]:
    """Return the arms that have samples: baseline, candidate, other versions, fresh, plain."""
    present = {sample.arm for sample in samples} | {plan.CANDIDATE}
    order = [plan.BASELINE, plan.CANDIDATE, *sorted(run.arms), plan.FRESH, plan.PLAIN]
    found = []
    for arm in dict.fromkeys(order):
        if arm in present:
            owner = plan.CANDIDATE if arm == plan.FRESH else arm
            version = run.arms.get(owner, {}).get("version")
            role = ROLES.get(arm, OTHER)
            found.append(Column(arm, version or role, role if version else "no model"))
    return tuple(found)


def rows(cases: Sequence[Case], samples: Iterable[Sample]) -> tuple[Row, ...]:
    """Return all cases: broken `must` cases, then the largest drop first."""
    by_case: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in sorted(samples, key=lambda each: each.repeat):
        by_case[sample.case][sample.arm].append(sample)
    found = [_row(case, by_case[case.id]) for case in cases]
    return tuple(sorted(found, key=_order))


def _row(case: Case, arms: Mapping[str, Sequence[Sample]]) -> Row:
    cells = {arm: _cell(samples) for arm, samples in arms.items()}
    candidate, baseline = cells.get(plan.CANDIDATE, EMPTY), cells.get(plan.BASELINE, EMPTY)
    change = _difference(candidate.share, baseline.share)
    score_change = _difference(candidate.score, baseline.score)
    states = tuple(_states(case, candidate, baseline, change))
    return Row(case, cells, change, score_change, states)


def _difference(value: float | None, before: float | None) -> float | None:
    return None if value is None or before is None else value - before


def _cell(samples: Sequence[Sample]) -> Cell:
    scores = [sample.score for sample in samples if sample.score is not None]
    return Cell(tuple(map(_mark, samples)), sum(scores) / len(scores) if scores else None)


def _mark(sample: Sample) -> str:
    if sample.state == Sample.State.SCORED:
        return PASSED if sample.passed else FAILED
    return UNSCORED if sample.state == Sample.State.UNSCORED else OPEN


def _states(case: Case, candidate: Cell, baseline: Cell, change: float | None) -> Iterator[str]:
    if change:
        yield "changed"
        yield "worse" if change < 0 else "better"
    if candidate.is_flaky or baseline.is_flaky:
        yield "flaky"
    if FAILED in candidate.marks:
        yield "failed"
    if UNSCORED in candidate.marks + baseline.marks:
        yield "unscored"
    if case.must:
        yield "must"
    if case.held_out:
        yield "held_out"


def _order(row: Row) -> tuple[bool, float, float, bool, float]:
    """Return the place of a row. Ties are in the order of the suite."""
    change = row.change or 0.0
    share = row.cells.get(plan.CANDIDATE, EMPTY).share
    return (
        not (row.case.must and change < 0),
        change,
        1.0 if share is None else share,
        not row.case.must,
        row.score_change or 0.0,
    )
