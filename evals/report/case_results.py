"""The results of a feature and of its cases, for the files that a forge shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aifeature.suites import Case
from evals.harness import plan, pools
from evals.harness.pools import Pool
from evals.models import Run, Sample

HELD_OUT: Final = "Held out: its content is not shown."

HALF: Final = 0.5


class Tally(NamedTuple):
    """The repeats of a case in one arm."""

    passed: int
    scored: int

    @property
    def share(self) -> float | None:
        """Share of passes; None without a scored repeat."""
        return self.passed / self.scored if self.scored else None

    def __str__(self) -> str:
        return f"{self.passed} of {self.scored}"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case with its repeats."""

    id: str
    candidate: Tally
    baseline: Tally
    """Without repeats if the candidate is compared with its floor alone."""
    is_must: bool = False
    is_broken: bool = False
    """Whether it may never break, and the verdict finds it broken."""
    seconds: float = 0.0
    """Time of the candidate's calls."""
    problem: str = ""
    """Why a repeat of the candidate did not pass. Text of a model may be in it."""

    @property
    def change(self) -> float:
        """Candidate minus baseline of the share of passes, from -1 to 1; 0 without both."""
        now, before = self.candidate.share, self.baseline.share
        return 0.0 if now is None or before is None else now - before

    @property
    def has_failed(self) -> bool:
        """Whether most repeats of the baseline passed and most of the candidate did not."""
        now, before = self.candidate.share, self.baseline.share
        if now is None or before is None:
            return self.is_broken
        return self.is_broken or now < HALF < before


@dataclass(frozen=True, slots=True)
class Result:
    """A feature, what changed in it, and the verdict on its prompt."""

    feature: str
    version: str
    changed: tuple[str, ...]
    """Names of the parts that changed. Empty: none did."""
    how: str
    """How the prompt was compared, as a sentence."""
    run: Run | None = None
    """None: it was not evaluated."""
    verdict: Mapping[str, Any] | None = None
    problem: str = ""
    """Why there is no verdict, as a sentence."""
    baseline: str = ""
    """The version that it was compared with; empty: its floor alone."""
    spent_micro: int = 0
    calls: int = 0
    cases: tuple[CaseResult, ...] = ()
    """The worst change first."""


def of_run(
    run: Run, samples: Iterable[Sample], verdict: Mapping[str, Any] | None, recorded: Pool
) -> tuple[CaseResult, ...]:
    """Return the cases of a run: broken ones, then the largest drop first.

    Args:
        run: The run of the candidate.
        samples: Its samples.
        verdict: Its verdict; None if it has not ended.
        recorded: Recorded outcomes that are its baseline. Empty: that is the run's own.
    """
    by_arm: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda each: each.repeat):
        by_arm[sample.case, sample.arm].append(sample)
    broken = set(verdict["must_broken"]) if verdict else set()
    before = recorded.cases()
    found = []
    for case in plan.cases_of(run):
        own = by_arm[case.id, plan.CANDIDATE]
        found.append(
            CaseResult(
                id=case.id,
                candidate=_tally(own),
                baseline=_recorded(case, before)
                if before
                else _tally(by_arm[case.id, plan.BASELINE]),
                is_must=case.must,
                is_broken=case.id in broken,
                seconds=sum(sample.latency_ms or 0 for sample in own) / 1000,
                problem=_problem(case, own),
            )
        )
    return tuple(sorted(found, key=lambda each: (not each.is_broken, each.change)))


def _tally(samples: Sequence[Sample]) -> Tally:
    scored = [sample for sample in samples if sample.state == Sample.State.SCORED]
    return Tally(sum(bool(sample.passed) for sample in scored), len(scored))


def _recorded(case: Case, before: Mapping[str, pools.Repeats]) -> Tally:
    repeats = before.get(case.id)
    if repeats is None or repeats.hash != plan.case_hash(case):
        return Tally(0, 0)
    return Tally(sum(outcome.passed for outcome in repeats.scored), len(repeats.scored))


def _problem(case: Case, samples: Iterable[Sample]) -> str:
    """Return why the first repeat that did not pass did not; empty if all passed."""
    failed = next((sample for sample in samples if not sample.passed), None)
    if failed is None:
        return ""
    if case.held_out:
        return HELD_OUT
    if failed.problem:
        return failed.problem
    notes = [f"{part['scorer']}: {part['note']}" for part in failed.parts if not part["passed"]]
    judged = sorted(failed.judgement or (), key=lambda each: (each["score"], each["criterion"]))
    scores = [f"{each['criterion']}: {each['score']} of 5" for each in judged]
    return "; ".join(notes or scores)


def spent(run: Run, samples: Iterable[Sample]) -> tuple[int, int]:
    """Return the micro-dollars and the calls of a run, without those that an earlier run paid."""
    own = [each for each in samples if "taken_from" not in run.arms.get(each.arm, {})]
    return sum(each.cost_micro for each in own), sum(len(each.attempts) for each in own)
