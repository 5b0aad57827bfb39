"""Pools: all that is known of one prompt under the same conditions, from every run of late.

A further run adds to the pool and replaces nothing in it. Runs that were stopped count too, so that
watching a run and stopping it is no second chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final

from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from aifeature.services.promotion import Conditions, Evidence, Subject, evidence
from evals.harness import plan
from evals.models import Run, Sample
from evals.statistics.data import CaseOutcomes, Outcome

ARMS: Final = (plan.CANDIDATE, plan.BASELINE, plan.FRESH)


@dataclass(frozen=True, slots=True)
class Repeats:
    """The outcomes of one case in one run."""

    hash: str
    """Of the case's content."""
    group: str
    must: bool
    tags: tuple[str, ...]
    scored: tuple[Outcome, ...] = ()
    fresh: tuple[Outcome, ...] = ()
    """Repeats that were made because the case seemed broken."""


@dataclass(frozen=True, slots=True)
class Part:
    """The outcomes of one prompt in one run."""

    run: str
    at: datetime
    """The start of the run: outcomes are no older."""
    cases: Mapping[str, Repeats]
    total: int
    """Number of repeats, without the fresh ones."""
    unscored: int
    answered_by: tuple[str, ...]
    first_answers: Mapping[str, int] = field(default_factory=dict)
    """The number of first answers by model, valid or not."""

    @property
    def models(self) -> Counter[str]:
        """The number of first answers by model."""
        return Counter(self.first_answers)

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "at": self.at.isoformat(),
            "total": self.total,
            "unscored": self.unscored,
            "answered_by": list(self.answered_by),
            "first_answers": dict(self.first_answers),
            "cases": {
                case: {
                    "hash": each.hash,
                    "group": each.group,
                    "must": each.must,
                    "tags": list(each.tags),
                    "scored": [_as_list(outcome) for outcome in each.scored],
                    "fresh": [_as_list(outcome) for outcome in each.fresh],
                }
                for case, each in self.cases.items()
            },
        }


def _as_list(outcome: Outcome) -> list[Any]:
    return [outcome.passed, outcome.score, outcome.at_once]


def from_json(values: Mapping[str, Any]) -> Part:
    """Return a part that `as_json` returned."""
    return Part(
        run=values["run"],
        at=datetime.fromisoformat(values["at"]),
        total=values["total"],
        unscored=values["unscored"],
        answered_by=tuple(values["answered_by"]),
        first_answers=values["first_answers"],
        cases={
            case: Repeats(
                hash=each["hash"],
                group=each["group"],
                must=each["must"],
                tags=tuple(each["tags"]),
                scored=_outcomes(each["scored"]),
                fresh=_outcomes(each["fresh"]),
            )
            for case, each in values["cases"].items()
        },
    )


def _outcomes(rows: Iterable[Sequence[Any]]) -> tuple[Outcome, ...]:
    return tuple(Outcome(passed, score, at_once=at_once) for passed, score, at_once in rows)


@dataclass(frozen=True, slots=True)
class Pool:
    """All parts of one prompt, oldest first."""

    parts: tuple[Part, ...] = ()

    @property
    def runs(self) -> list[str]:
        return [part.run for part in self.parts]

    @property
    def total(self) -> int:
        return sum(part.total for part in self.parts)

    @property
    def unscored(self) -> int:
        return sum(part.unscored for part in self.parts)

    @property
    def answered_by(self) -> list[str]:
        return sorted({model for part in self.parts for model in part.answered_by})

    @property
    def is_empty(self) -> bool:
        return not any(each.scored for part in self.parts for each in part.cases.values())

    def cases(self) -> dict[str, Repeats]:
        """Return the repeats of each case over all parts. Parts have the same cases."""
        found: dict[str, Repeats] = {}
        for case, each in chain.from_iterable(part.cases.items() for part in self.parts):
            known = found.get(case, replace(each, scored=(), fresh=()))
            found[case] = replace(
                known, scored=known.scored + each.scored, fresh=known.fresh + each.fresh
            )
        return found


def subject_of(run: Run, arm: str = plan.CANDIDATE) -> Subject:
    """Return the prompt of an arm, under the conditions of its run."""
    conditions = Conditions(
        run.provider, run.suite_hash, run.scorer_hash, run.judge, run.guard_hash
    )
    of = run.arms[arm]
    return Subject(run.feature, of["version"], of["hash"], conditions)


def of(subject: Subject) -> Pool:
    """Return all that is known of a subject and fresh: stored evidence, and runs without one."""
    rows = evidence.pooled(subject.fingerprint)
    parts: dict[str, Part] = {}
    for row in rows:  # newest first: a resumed run has several
        if "run" in row.outcomes:
            parts.setdefault(row.outcomes["run"], from_json(row.outcomes))
    for run in _runs(subject):
        if str(run.pk) not in parts and (part := part_of(run, subject.prompt_hash)).total:
            parts[part.run] = part
    return Pool(tuple(sorted(parts.values(), key=lambda part: (part.at, part.run))))


def of_evidence(row: Evidence) -> Pool:
    """Return the pool of which evidence is the verdict, as far as it was stored."""
    known = {str(run) for run in row.runs}
    rows = evidence.newest_of_prompt(row.feature, row.provider, row.prompt_hash)
    parts: dict[str, Part] = {}
    for each in rows.filter(fingerprint=row.fingerprint, created_at__lte=row.created_at):
        if each.outcomes.get("run") in known:
            parts.setdefault(each.outcomes["run"], from_json(each.outcomes))
    return Pool(tuple(sorted(parts.values(), key=lambda part: (part.at, part.run))))


def _runs(subject: Subject) -> QuerySet[Run]:
    conditions = subject.conditions
    judge = {"judge__isnull": True} if conditions.judge is None else {"judge": conditions.judge}
    hash_ = subject.prompt_hash
    return Run.objects.filter(
        Q(arms__candidate__hash=hash_) | Q(arms__baseline__hash=hash_),
        feature=subject.feature,
        provider=conditions.provider,
        suite_hash=conditions.suite,
        scorer_hash=conditions.scorers,
        guard_hash=conditions.guards,
        created_at__gt=Now() - timedelta(days=settings.AIFEATURE["EVIDENCE_DAYS"]),
        **judge,
    )


def part_of(run: Run, prompt_hash: str) -> Part:
    """Return what a run shows of a prompt, in each arm that called it."""
    arms = {
        arm
        for arm, of_arm in run.arms.items()
        if of_arm["hash"] == prompt_hash and "taken_from" not in of_arm
    }
    if plan.CANDIDATE in arms:
        arms.add(plan.FRESH)
    samples = list(run.samples.filter(arm__in=arms).order_by("arm", "case", "repeat"))
    counted = [sample for sample in samples if sample.arm != plan.FRESH]
    ended = {Sample.State.SCORED, Sample.State.UNSCORED}
    scored: dict[tuple[str, bool], list[Outcome]] = defaultdict(list)
    for sample in samples:
        if sample.state == Sample.State.SCORED:
            scored[sample.case, sample.arm == plan.FRESH].append(outcome_of(sample))
    return Part(
        run=str(run.pk),
        at=run.created_at,
        total=sum(sample.state in ended for sample in counted),
        unscored=sum(sample.state == Sample.State.UNSCORED for sample in counted),
        answered_by=tuple(sorted({sample.model for sample in samples if sample.model})),
        first_answers=Counter(
            model for each in counted if (model := each.first_model or each.model)
        ),
        cases={
            case.id: Repeats(
                hash=plan.case_hash(case),
                group=case.group or case.id,
                must=case.must,
                tags=case.tags,
                scored=tuple(scored[case.id, False]),
                fresh=tuple(scored[case.id, True]),
            )
            for case in plan.cases_of(run)
        },
    )


def outcome_of(sample: Sample) -> Outcome:
    """Return the outcome of a scored sample."""
    at_once = None if sample.repaired is None else not sample.repaired
    return Outcome(bool(sample.passed), float(sample.score or 0.0), at_once=at_once)


def compared(candidate: Pool, baseline: Pool) -> list[CaseOutcomes]:
    """Return the outcomes of two pools by case. Cases with another content do not compare."""
    before = baseline.cases()
    return [
        CaseOutcomes(
            id=case,
            group=each.group,
            must=each.must,
            tags=each.tags,
            baseline=before[case].scored if is_same(before.get(case), each) else (),
            candidate=each.scored,
            fresh=each.fresh,
        )
        for case, each in candidate.cases().items()
    ]


def is_same(one: Repeats | None, other: Repeats) -> bool:
    """Return whether two pools have the same case."""
    return one is not None and one.hash == other.hash
