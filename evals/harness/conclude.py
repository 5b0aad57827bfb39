"""The verdict on a complete run, as it is stored and printed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Expression, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Now, NullIf

from aifeature import registry
from aifeature.services import controls
from evals.harness import plan
from evals.models import Run, Sample
from evals.statistics import power
from evals.statistics.data import CaseOutcomes, Outcome
from evals.statistics.verdict import Decision, Verdict, alone, decide, suspects

EXIT: Final = {Decision.PASS: 0, Decision.REGRESSION: 1, Decision.NOT_COMPARABLE: 3}
"""Exit codes of the command. Never 0 without a verdict."""

MOST_OTHER_MODELS: Final = 0.1
"""Greatest difference of the models' shares in both arms with which they compare."""

MODELS: Final = {
    "answered": Coalesce(NullIf("first_model", Value("")), NullIf("model", Value(""))),
    "judged": NullIf("judge_model", Value("")),
}
"""The model of a sample that counts. Samples of earlier releases have only that of the end."""


def outcomes(run: Run, *, baseline: Run | None = None) -> list[CaseOutcomes]:
    """Return the scored repeats of each case, in the order of the suite.

    `baseline` is another run whose candidate is the baseline; None: the run's own.
    """
    arms = _by_case(run.samples.all())
    other = _by_case(baseline.samples.all()) if baseline else arms
    its_arm = plan.CANDIDATE if baseline else plan.BASELINE
    return [
        CaseOutcomes(
            id=case.id,
            group=case.group or case.id,
            must=case.must,
            tags=case.tags,
            baseline=other[case.id, its_arm],
            candidate=arms[case.id, plan.CANDIDATE],
            fresh=arms[case.id, plan.FRESH],
        )
        for case in plan.cases_of(run)
    ]


def _by_case(samples: Iterable[Sample]) -> Mapping[tuple[str, str], tuple[Outcome, ...]]:
    found: dict[tuple[str, str], tuple[Outcome, ...]] = defaultdict(tuple)
    for sample in sorted(samples, key=lambda each: each.repeat):
        if sample.state == Sample.State.SCORED:
            at_once = None if sample.repaired is None else not sample.repaired
            outcome = Outcome(bool(sample.passed), float(sample.score or 0.0), at_once=at_once)
            found[sample.case, sample.arm] += (outcome,)
    return found


def doubtful(run: Run) -> tuple[str, ...]:
    """Return the `must` cases that seem broken and need fresh repeats before a verdict."""
    return suspects(outcomes(run)) if run.kind != Run.Kind.ALONE else ()


def verdict(run: Run, *, baseline: Run | None = None) -> Verdict:
    """Return the verdict on a run, or on its candidate against that of another run."""
    other = Q(run=baseline, arm=plan.CANDIDATE) if baseline else Q(run=run, arm=plan.BASELINE)
    counted = Sample.objects.filter(Q(run=run, arm=plan.CANDIDATE) | other)
    unscored = counted.exclude(state=Sample.State.SCORED).count()
    total = counted.count()
    cases = outcomes(run, baseline=baseline)
    floor = floor_of(run)
    if run.kind == Run.Kind.ALONE and baseline is None:
        found = alone(
            cases,
            judged=bool(run.judge),
            floor=floor.least,
            unscored=unscored,
            total=total,
            blocked=[] if floor.least else [no_floor(run)],
        )
    else:
        found = decide(
            cases,
            judged=bool(run.judge),
            floor=floor.least,
            unscored=unscored,
            total=total,
            blocked=other_models(run, baseline),
        )
    return replace(found, reasons=(*found.reasons, floor.problem)) if floor.problem else found


def other_models(run: Run, baseline: Run | None = None) -> list[str]:
    """Return that other models answered or judged the arms, as a sentence each."""
    if baseline is None and plan.BASELINE not in run.arms:
        return []
    other = Q(run=baseline, arm=plan.CANDIDATE) if baseline else Q(run=run, arm=plan.BASELINE)
    arms = run.samples.filter(arm=plan.CANDIDATE), Sample.objects.filter(other)
    return list(_other_models(*arms))


def _other_models(candidate: QuerySet[Sample], baseline: QuerySet[Sample]) -> Iterator[str]:
    """Yield that other models answered or judged the arms, as a sentence each.

    First answers count, valid or not. A worse prompt may get more invalid ones, which the next
    model answers again. That is a regression, and no reason not to compare.
    """
    for did, model in MODELS.items():
        yield from differing_models(did, _models(candidate, model), _models(baseline, model))


def differing_models(did: str, candidate: Counter[str], baseline: Counter[str]) -> Iterator[str]:
    """Yield a sentence if the shares of the models differ, which `did` the arms."""
    shares = [_shares(candidate), _shares(baseline)]
    names = sorted({name for of in shares for name in of})
    differing = sum(abs(shares[0].get(name, 0) - shares[1].get(name, 0)) for name in names) / 2
    if all(shares) and differing > MOST_OTHER_MODELS:
        mix = [", ".join(f"{name} {share:.0%}" for name, share in of.items()) for of in shares]
        yield f"Other models {did} the candidate ({mix[0]}) than the baseline ({mix[1]})."


def _models(samples: QuerySet[Sample], model: Expression) -> Counter[str]:
    """Return the number of samples of each model."""
    named = samples.annotate(named=model).filter(named__isnull=False)
    return Counter(named.values_list("named", flat=True))


def _shares(found: Counter[str]) -> dict[str, float]:
    return {name: count / found.total() for name, count in found.most_common()}


def no_floor(run: Run) -> str:
    return f"{run.feature} has no floor for {run.provider}: set one."


def floor_of(run: Run) -> controls.floors.InForce:
    """Return the floor in force of the feature with the run's provider. A new one is audited."""
    name = run.provider.partition(" ")[0]  # the same model, wherever it answers
    return controls.floors.in_force(registry.get(run.feature), name)


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the row of a run: no other process ends it, scores it or opens it again meanwhile.

    Simulations and scorers may take longer between two queries than sessions may idle.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '15min'")
        run.state = Run.objects.select_for_update().get(pk=run.pk).state
        yield


def conclude(run: Run) -> dict[str, Any]:
    """Store the verdict of a run whose samples are all scored or unscored, and return it.

    If another process has opened samples again, nothing is stored, and the result is empty.
    """
    found: dict[str, Any] = {}
    with locked(run):
        if not run.samples.filter(state__in=(Sample.State.PENDING, Sample.State.RUNNING)).exists():
            found = as_json(verdict(run)) | {
                "plain_rate": rate(run, plan.PLAIN),
                "gate": gate(run),
                "flips": flips(run),
            }
            Run.objects.filter(pk=run.pk).update(
                verdict=found, state=Run.State.ENDED, note="", ended_at=Now()
            )
    run.refresh_from_db()
    return found


def gate(run: Run) -> dict[str, Any] | None:
    """Return the error rates of the gate, simulated over the candidate's stored repeats.

    None without repeats of most cases: they show how much answers vary.
    """
    try:
        rates = power.error_rates(
            power.stored_repeats(outcomes(run), arm="candidate"),
            repeats=run.repeats,
            judged=bool(run.judge),
        )
    except ValueError:
        return None
    return {"badge": power.badge(rates), **asdict(rates)}


def flips(run: Run) -> float | None:
    """Return how often the verdict on a prompt against itself is a regression, from 0 to 1.

    By random splits of the stored repeats of both arms. None for other runs, and with too few
    cases for a verdict on a split.
    """
    if run.kind != Run.Kind.SAME:
        return None
    try:
        return power.flips(outcomes(run), judged=bool(run.judge))
    except ValueError:
        return None


def rate(run: Run, arm: str) -> float | None:
    """Return the share of passes of an arm, as the mean over its cases."""
    found: dict[str, list[bool]] = defaultdict(list)
    for sample in run.samples.filter(arm=arm, state=Sample.State.SCORED):
        found[sample.case].append(bool(sample.passed))
    means = [sum(passes) / len(passes) for passes in found.values()]
    return fmean(means) if means else None  # the same in each order


def as_json(found: Verdict) -> dict[str, Any]:
    return {**asdict(found), "decision": found.decision.value}


def incomparable(run: Run, baseline: Run) -> list[str]:
    """Return why the candidates of two runs do not compare, a sentence each; empty if they do."""
    names = {
        "feature": "features",
        "suite_hash": "suites",
        "scorer_hash": "scorers",
        "guard_hash": "policies of the guards",
        "judge": "judges",
        "provider": "providers",
    }
    found = [
        f"They have different {name}."
        for field, name in names.items()
        if getattr(run, field) != getattr(baseline, field)
    ]
    found += plan.case_changes(plan.cases_of(baseline), plan.cases_of(run))
    open_runs = [each for each in (run, baseline) if each.state != Run.State.ENDED]
    return found + [f"The run {each.pk} has not ended." for each in open_runs]
