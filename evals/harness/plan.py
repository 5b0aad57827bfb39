"""A new run: its arms, its samples in order, its estimate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from aifeature import prompts, registry, suites
from aifeature.services import controls
from aifeature.services.promotion import subjects
from aifeature.spec import Feature
from aifeature.suites import Case, Suite
from evals.harness import costs
from evals.models import Run, Sample

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"
FRESH: Final = "fresh"
PLAIN: Final = "plain"

JUDGE: Final = subjects.JUDGE
MUST_REPEATS: Final = 3
"""Least repeats of a case that may never break, so that one failure by noise decides nothing."""

USUAL_REPEATS: Final = 3
"""Repeats while no run has shown how much answers vary. They find a drop of 15 points in nearly all
suites of 100 cases."""

REUSED_FOR: Final = timedelta(hours=24)
"""Age up to which the outputs of an identical baseline are taken instead of new calls."""

MOST_NAMED: Final = 10
"""Cases of one kind of change that are named. More are counted."""

RUNS_READ: Final = 5
"""Newest runs among which the last one of the same file of cases is found."""


class PlanError(Exception):
    """The run cannot start. The text names the cause and the fix."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The prompts, cases and limits of a run."""

    feature: Feature
    candidate: str
    """Version of the prompt."""
    baseline: str | None
    """Version to compare with; None: only with the floor. The same as `candidate`: an A/A run."""
    repeats: int
    cap_micro: int
    suite: Suite


@dataclass(frozen=True, slots=True)
class _Draft:
    """A run that is not stored."""

    run: Run
    samples: list[Sample]
    earlier: _Earlier | None
    estimate: costs.Estimate


def start(wanted: Wanted, *, reuse: bool = True) -> Run:
    """Store a run with its samples, of which none has a job yet.

    Args:
        wanted: The prompts, cases and limits.
        reuse: Whether the outputs of an identical baseline of the last day may be taken.

    Raises:
        PlanError: there is no such version, or the estimate is above the cap.
    """
    draft = _draft(wanted, reuse=reuse)
    run, earlier = draft.run, draft.earlier
    if run.estimate_micro > run.cap_micro:
        raise PlanError(
            f"The run of {run.feature} is estimated at {costs.dollars(run.estimate_micro)}, and may"
            f" spend {costs.dollars(run.cap_micro)}. Raise --max-usd, or lower --repeats."
        )
    controls.floors.in_force(
        wanted.feature, run.provider.partition(" ")[0]
    )  # audited before there is a figure
    with transaction.atomic():
        run.save(force_insert=True)
        copies = _copies(run, earlier) if earlier else ()
        Sample.objects.bulk_create([*draft.samples, *copies])
    return run


def estimate(wanted: Wanted, *, reuse: bool = True) -> costs.Estimate:
    """Return the calls of a run and their price without storing it. Raises as `start` does."""
    return _draft(wanted, reuse=reuse).estimate


def _draft(wanted: Wanted, *, reuse: bool) -> _Draft:
    arms = _arms(wanted)
    run = Run(
        feature=wanted.feature.slug,
        kind=_kind(wanted),
        cases={
            "cases": [case.model_dump(mode="json") for case in wanted.suite.cases],
            "about": wanted.suite.about.model_dump(mode="json"),
        },
        suite_hash=wanted.suite.hash,
        arms=arms,
        judge=subjects.judge() if wanted.suite.about.criteria else None,
        scorer_hash=subjects.scorer_hash(wanted.feature),
        guard_hash=subjects.guard_hash(wanted.feature),
        provider=controls.live.provider(),
        repeats=wanted.repeats,
        cap_micro=wanted.cap_micro,
        estimate_micro=0,
    )
    earlier = _reusable(run) if reuse and run.kind == Run.Kind.COMPARE else None
    samples = list(_samples(run, wanted, with_baseline=earlier is None))
    if earlier is not None:
        arms[BASELINE]["taken_from"] = str(earlier.run.pk)
    estimated = costs.estimate(run, wanted.feature, samples)
    run.estimate_micro = estimated.micro
    return _Draft(run, samples, earlier, estimated)


def changes_since(run: Run) -> list[str]:
    """Return what is not as it was when a run started, a sentence each: its rest would differ."""
    feature = registry.get(run.feature)
    changed = {
        "provider": run.provider != controls.live.provider(),
        "code of the scorers": run.scorer_hash != subjects.scorer_hash(feature),
        "policy of the guards": run.guard_hash != subjects.guard_hash(feature),
        "judge": run.judge is not None and run.judge != subjects.judge(),
    }
    try:
        now = {arm: prompts.get(run.feature, of["version"]).hash for arm, of in run.arms.items()}
    except prompts.PromptError as error:
        return [str(error)]
    changed |= {f"prompt {of['version']}": now[arm] != of["hash"] for arm, of in run.arms.items()}
    return [
        f"The {what} is not that of the run {run.pk}." for what, is_so in changed.items() if is_so
    ]


def case_changes(before: Iterable[Case], after: Iterable[Case]) -> list[str]:
    """Return which cases have another content or no successor, by their ids, a sentence each."""
    old = {case.id: case.content for case in before}
    new = {case.id: case.content for case in after}
    kinds = {
        "Changed cases": [id_ for id_, content in old.items() if new.get(id_, content) != content],
        "Cases that are gone": [id_ for id_ in old if id_ not in new],
        "New cases": [id_ for id_ in new if id_ not in old],
    }
    return [f"{kind}: {_listed(ids)}." for kind, ids in kinds.items() if ids]


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return f"{', '.join(ids[:MOST_NAMED])}{more}"


def suite_changes(suite: Suite) -> list[str]:
    """Return what changed in a suite since its newest run, a sentence each; mostly nothing.

    A run of another file of cases, which shares no id, is not compared.
    """
    ids = {case.id for case in suite.cases}
    for run in Run.objects.filter(feature=suite.slug).order_by("-created_at")[:RUNS_READ]:
        if ids.isdisjoint(case["id"] for case in run.cases["cases"]):
            continue
        if run.suite_hash == suite.hash:
            return []
        return [
            f"The suite is not that of the run {run.pk}, which no longer compares with it.",
            *case_changes(cases_of(run), suite.cases),
        ]
    return []


def case_hash(case: Case) -> str:
    """Return a hash of all of a case that can change a verdict."""
    text = json.dumps(case.content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cases_of(run: Run) -> tuple[Case, ...]:
    """Return the cases of a run as they were when it started."""
    return tuple(Case.model_validate(case) for case in run.cases["cases"])


def about(run: Run) -> suites.About:
    return suites.About.model_validate(run.cases["about"])


def _kind(wanted: Wanted) -> Run.Kind:
    if wanted.baseline is None:
        return Run.Kind.ALONE
    return Run.Kind.SAME if wanted.baseline == wanted.candidate else Run.Kind.COMPARE


def _arms(wanted: Wanted) -> dict[str, dict[str, Any]]:
    versions = {CANDIDATE: wanted.candidate}
    if wanted.baseline is not None:
        versions[BASELINE] = wanted.baseline
    try:
        return {arm: _arm(wanted.feature, version) for arm, version in versions.items()}
    except prompts.PromptError as error:
        raise PlanError(str(error)) from None


def _arm(feature: Feature, version: str) -> dict[str, Any]:
    prompt = prompts.get(feature.slug, version)
    return {
        "version": version,
        "hash": prompt.hash,
        "note": prompt.note,
        "system": prompt.system,
        "user": prompt.user,
    }


def _samples(run: Run, wanted: Wanted, *, with_baseline: bool) -> Iterator[Sample]:
    """Yield the samples in the order of their calls: both arms of a repeat one after the other."""
    arms = [CANDIDATE, *([BASELINE] if with_baseline and wanted.baseline else [])]
    cases = wanted.suite.cases
    for repeat in range(1, max(wanted.repeats, MUST_REPEATS) + 1):
        for case in cases:
            if repeat > wanted.repeats and not case.must:
                continue
            # Neither arm is always the first: caches and load would favour the other.
            turn = arms if (repeat + len(case.id)) % 2 else arms[::-1]
            yield from (Sample(run=run, arm=arm, case=case.id, repeat=repeat) for arm in turn)
    if wanted.feature.plain is not None:
        yield from (Sample(run=run, arm=PLAIN, case=case.id, repeat=1) for case in cases)


@dataclass(frozen=True, slots=True)
class _Earlier:
    run: Run
    arm: str


def _reusable(run: Run) -> _Earlier | None:
    """Return the newest run of the last day that called the same baseline on the same cases."""
    found = Run.objects.filter(
        feature=run.feature,
        suite_hash=run.suite_hash,
        scorer_hash=run.scorer_hash,
        guard_hash=run.guard_hash,
        provider=run.provider,
        **({"judge__isnull": True} if run.judge is None else {"judge": run.judge}),
        repeats=run.repeats,
        state=Run.State.ENDED,
        created_at__gt=Now() - REUSED_FOR,
    ).order_by("-created_at")
    for earlier in found:
        for arm in (BASELINE, CANDIDATE):
            same = earlier.arms.get(arm, {}).get("hash") == run.arms[BASELINE]["hash"]
            if same and "taken_from" not in earlier.arms[arm] and _is_whole(earlier, arm):
                return _Earlier(earlier, arm)
    return None


def _is_whole(run: Run, arm: str) -> bool:
    """Return whether everything is known of an arm. Earlier releases did not store repairs."""
    samples = run.samples.filter(arm=arm)
    return not samples.filter(~Q(state=Sample.State.SCORED) | Q(repaired=None)).exists()


def _copies(run: Run, earlier: _Earlier) -> Iterable[Sample]:
    for sample in earlier.run.samples.filter(arm=earlier.arm):
        sample.pk, sample.run, sample.arm = None, run, BASELINE
        sample.job = sample.judge_job = None
        sample.cost_micro = 0  # paid by the earlier run
        sample._state.adding = True  # noqa: SLF001 (from Django's documentation)
        yield sample
