"""The baseline of a weekly run: the evidence with which the live prompt became live.

It is never the run of last week, so a prompt that gets a little worse each week is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from aifeature import registry
from aifeature.services.promotion import Evidence, activations, evidence
from evals.harness import pools
from evals.harness.pools import Part, Pool
from evals.models import Run, WeeklyRun
from evals.statistics.rules import DEFAULT

ANEW: Final = "The outcomes of this run are the baseline of the next ones."

FLOOR_ALONE: Final = "The prompt is live by an override, without evidence: the floor alone decides."

NO_PROOF: Final = "The prompt has no evidence that passed: the floor alone decides."


@dataclass(frozen=True, slots=True)
class Baseline:
    """The outcomes that a weekly run is compared with.

    The pool is empty if the floor alone decides.
    """

    pool: Pool
    answered_by: tuple[str, ...]
    note: str
    """A sentence: which one, and why."""
    evidence: UUID | None = None
    run: Run | None = None
    measures_anew: bool = False
    """Whether there is none, so that a run without a regression becomes it."""


def of(weekly: WeeklyRun, part: Part) -> Baseline:
    """Return the baseline of a run, whose outcomes are `part`."""
    run = _run(weekly)
    is_internal = registry.get(weekly.feature).internal
    found = _first_proof(weekly) if is_internal else _of_activation(weekly)
    if found is None:
        return Baseline(Pool(), (), NO_PROOF if is_internal else FLOOR_ALONE)
    pool = pools.of_evidence(found)
    problem = _changed(run, found.conditions) or _shares_too_little(part, pool)
    if not problem:
        since = "the first of this prompt" if is_internal else "with which it became live"
        note = f"The evidence of {found.created_at:%-d %B %Y}, {since}."
        return Baseline(pool, tuple(found.answered_by), note, evidence=found.pk)
    return _measured_anew(weekly, part, found, problem)


def _of_activation(weekly: WeeklyRun) -> Evidence | None:
    row = activations.row_of_prompt(weekly.feature, weekly.prompt_hash)
    return row.evidence if row else None


def _first_proof(weekly: WeeklyRun) -> Evidence | None:
    """Return the oldest evidence of a prompt that passed: an internal feature has no activation."""
    rows = evidence.newest_of_prompt(weekly.feature, _run(weekly).provider, weekly.prompt_hash)
    return rows.filter(passed=True).last()


def _run(weekly: WeeklyRun) -> Run:
    run = weekly.current
    if run is None:
        raise ValueError(f"The regression run {weekly.pk} has not begun.")
    return run


def _measured_anew(weekly: WeeklyRun, part: Part, found: Evidence, problem: str) -> Baseline:
    """Return the first run since the change that a later one may be compared with.

    Only a run without a baseline becomes one, so the baseline does not creep.
    """
    run = _run(weekly)
    earlier = WeeklyRun.objects.filter(
        feature=weekly.feature,
        prompt_hash=weekly.prompt_hash,
        is_baseline=True,
        created_at__gt=found.created_at,
        run__provider=run.provider,
    ).exclude(pk=weekly.pk)
    for each in earlier.select_related("run"):
        if each.run is None:
            continue
        conditions = {
            "scorers": each.run.scorer_hash,
            "judge": each.run.judge,
            "guards": each.run.guard_hash,
        }
        pool = Pool((pools.part_of(each.run, weekly.prompt_hash),))
        if not (_changed(run, conditions) or _shares_too_little(part, pool)):
            day = f"{each.run.created_at:%-d %B %Y}"
            note = f"Measured anew on {day}. {problem}"
            return Baseline(pool, tuple(pool.answered_by), note, run=each.run)
    return Baseline(Pool(), (), f"{problem} {ANEW}", measures_anew=True)


def _changed(run: Run, conditions: dict[str, Any]) -> str:
    """Return what measured the baseline in another way; empty if all of it is the same."""
    now = {"scorers": run.scorer_hash, "judge": run.judge, "guards": run.guard_hash}
    names = {
        "scorers": "The scorers changed",
        "judge": "The judge changed",
        "guards": "The guards' policies changed",
    }
    before = {"guards": "", **conditions}
    found = [names[name] for name, value in now.items() if before.get(name) != value]
    return " ".join(f"{each} since its activation." for each in found)


def _shares_too_little(part: Part, pool: Pool) -> str:
    shared = shared_cases(part, pool)
    if shared >= DEFAULT.least_cases:
        return ""
    return (
        f"The suite shares {shared} cases with the evidence of its activation, and a comparison"
        f" needs {DEFAULT.least_cases}."
    )


def shared_cases(part: Part, pool: Pool) -> int:
    """Return the number of cases with the same content in a run and in a baseline."""
    return sum(bool(each.baseline) for each in pools.compared(Pool((part,)), pool))
