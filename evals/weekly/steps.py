"""One step of a weekly run. It may be repeated, and two processes may take the same one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from aifeature import registry, suites
from aifeature.money import MICRO_PER_USD
from aifeature.services import controls
from aifeature.services.promotion import Evidence, activations
from evals import suite_checks
from evals.harness import conclude, plan, pools, proof, repeats
from evals.harness.drive import Driver, Progress
from evals.harness.pools import Part, Pool
from evals.models import Run, WeeklyRun
from evals.statistics import pooled
from evals.statistics import weekly as limits
from evals.statistics.rules import DEFAULT
from evals.statistics.verdict import Decision, Verdict, suspects
from evals.weekly import actions, baseline, marks, rows
from evals.weekly.baseline import Baseline

State = WeeklyRun.State

MOST_AGE: Final = timedelta(hours=12)
"""Age of a run, by the clock of the database, after which it has no result."""


def step(weekly: WeeklyRun, *, until: float) -> Progress | None:
    """Do what can be done now. Return the progress of its run, if that is under way.

    Args:
        weekly: Its row is read again.
        until: After this moment of the monotonic clock it begins no further sample.
    """
    WeeklyRun.objects.filter(pk=weekly.pk).update(driven_at=Now())
    weekly.refresh_from_db()
    if not weekly.is_under_way:
        return None
    if _is_too_old(weekly):
        rows.give_up(weekly, _why_so_long(weekly))
        return None
    run = weekly.current or _begin(weekly)
    if run is None:
        return None
    if run.state == Run.State.RUNNING and (changed := plan.changes_since(run)):
        _unfit(weekly, changed)
        return None
    return _drive(weekly, run, until)


def _drive(weekly: WeeklyRun, run: Run, until: float) -> Progress | None:
    driver = Driver(run)
    progress = driver.step(until=until) if run.state == Run.State.RUNNING else driver.progress()
    if run.state == Run.State.STOPPED:
        rows.give_up(weekly, run.note)
    elif not progress.is_complete:
        return progress
    else:
        _conclude(weekly, driver)
    return None


def _is_too_old(weekly: WeeklyRun) -> bool:
    run = weekly.current
    since: Any = WeeklyRun.objects.filter(pk=weekly.pk)
    if run is not None:
        since = Run.objects.filter(pk=run.pk)
    return bool(since.filter(created_at__lt=Now() - MOST_AGE).exists())


def _why_so_long(weekly: WeeklyRun) -> str:
    hours = f"It is not complete after {MOST_AGE.total_seconds() / 3600:.0f} hours."
    for name in (weekly.feature, controls.GLOBAL):
        if controls.switch.is_stopped(name):
            return f"{hours} The kill switch of {name} holds its jobs."
    return f"{hours} Check the workers of the queue evals, and the provider."


def _begin(weekly: WeeklyRun) -> Run | None:
    """Start the run, or the fresh one. None: another process has just started or ended it."""
    feature = registry.get(weekly.feature)
    suite = suites.load(feature)
    if problems := suite_checks.problems(feature, suite):
        raise suites.SuiteError("\n".join(problems))
    is_fresh = weekly.state == State.CONFIRMING
    first = weekly.run if is_fresh else None
    wanted = plan.Wanted(
        feature=feature,
        candidate=weekly.version,
        baseline=None,
        repeats=first.repeats if first else repeats.choose(feature, suite).repeats,
        cap_micro=int(settings.AIFEATURE["EVALS_DAILY_BUDGET_USD"] * MICRO_PER_USD),
        suite=suite,
    )
    with transaction.atomic():
        row = WeeklyRun.objects.select_for_update().get(pk=weekly.pk)
        if row.state != weekly.state or row.current is not None:
            return None
        run = plan.start(wanted)
        setattr(row, "confirmation" if is_fresh else "run", run)
        row.save(update_fields=["confirmation", "run"])
    weekly.refresh_from_db()
    return run


def _unfit(weekly: WeeklyRun, changed: list[str]) -> None:
    """End a run that a deploy made unfit: outdated if its prompt is no longer live."""
    with activations.held(weekly.feature) as live:
        if live is None or live.hash != weekly.prompt_hash:
            _end(weekly, State.OUTDATED, actions.outdated(live))
            return
    rows.give_up(weekly, f"{' '.join(changed)} The code changed during the run.")


def _conclude(weekly: WeeklyRun, driver: Driver) -> None:
    """Decide on a complete run, unless `must` cases that seem broken need fresh repeats."""
    run = driver.run
    part = pools.part_of(run, weekly.prompt_hash)
    base = baseline.of(weekly, part)
    known = {case for case, each in part.cases.items() if each.fresh}
    doubtful = [case for case in suspects(_shared(part, base)) if case not in known]
    if run.state == Run.State.RUNNING:
        if driver.add_fresh(doubtful) or not conclude.conclude(run):
            return
        part = pools.part_of(run, weekly.prompt_hash)
    is_fresh = weekly.state == State.CONFIRMING
    found = _verdict(run, part, base, limits.CONFIRMING if is_fresh else DEFAULT)
    _settle(weekly, run, part, base, found)


def _shared(part: Part, base: Baseline) -> list[Any]:
    return [each for each in pools.compared(Pool((part,)), base.pool) if each.baseline]


def _verdict(run: Run, part: Part, base: Baseline, rules: Any) -> Verdict:
    floor = conclude.floor_of(run)
    return limits.judge(
        pools.compared(Pool((part,)), base.pool),
        judged=bool(run.judge),
        floor=floor.least,
        unscored=part.unscored + base.pool.unscored,
        total=part.total + base.pool.total,
        blocked=[] if floor.least else [conclude.no_floor(run)],
        rules=rules,
    )


def _settle(weekly: WeeklyRun, run: Run, part: Part, base: Baseline, found: Verdict) -> None:
    """Store the verdict, and do once what follows from it, in one transaction."""
    with transaction.atomic():
        row = WeeklyRun.objects.select_for_update().get(pk=weekly.pk)
        if row.state != weekly.state or row.current != run:
            return  # another process was first
        is_fresh = row.state == State.CONFIRMING
        stored = conclude.as_json(found) | {
            "failure": pooled.is_failure(found),
            "compared_with": row.version if base.pool.parts else "",
        }
        setattr(row, "confirmation_verdict" if is_fresh else "verdict", stored)
        row.answered_by = sorted({*row.answered_by, *part.answered_by})
        if not is_fresh:
            row.baseline_evidence, row.baseline_run = base.evidence, base.run
            row.baseline_note = base.note
            row.marks = marks.of(row, run, base)
            actions.compare_models(row, run, base, found)
        row.save()
        with activations.held(row.feature) as live:
            if live is None or live.hash != row.prompt_hash:
                _end(row, State.OUTDATED, actions.outdated(live))
            elif not limits.is_measured(found):
                rows.give_up(row, f"{' '.join(found.reasons)} See the run {run.pk}.")
            elif is_fresh:
                _after_confirmation(row, run, base, found, stored)
            else:
                _after_first(row, run, base, found, stored)


def _after_first(
    row: WeeklyRun, run: Run, base: Baseline, found: Verdict, stored: dict[str, Any]
) -> None:
    if limits.is_alarm(found):
        row.state, row.note = State.CONFIRMING, f"An alarm: {' '.join(found.reasons)}"
        row.save(update_fields=["state", "note"])
    elif found.decision is not Decision.PASS:
        rows.give_up(row, f"{' '.join(found.reasons)} See the run {run.pk}.")
    else:
        row.is_baseline = base.measures_anew
        note = _record(row, run, _unless_failed(run, base, stored))
        _end(row, State.PASSED, f"No regression.{note}")
        actions.end_alerts(row)


def _after_confirmation(
    row: WeeklyRun, run: Run, base: Baseline, found: Verdict, stored: dict[str, Any]
) -> None:
    if limits.is_alarm(found, limits.CONFIRMING):
        _record(row, run, stored | {"decision": "regression", "failure": True})
        row.action = controls.regression_action(row.feature)
        _end(row, State.CONFIRMED, actions.after_regression(row))
    elif found.decision is Decision.PASS:
        verdict = _unless_failed(run, base, stored | {"failure": False})
        note = _record(row, run, verdict)
        _end(row, State.UNCONFIRMED, f"A fresh run did not confirm the alarm.{note}")
        actions.end_alerts(row)
    else:
        rows.give_up(row, f"{' '.join(found.reasons)} See the run {run.pk}.")


def _unless_failed(run: Run, base: Baseline, stored: dict[str, Any]) -> dict[str, Any] | None:
    """Return the verdict of a run that passed; None: that on the pool counts.

    After a failure one run that passes is no second chance, and an override proves nothing.
    """
    is_override = not (base.pool.parts or base.measures_anew)
    return None if is_override or proof.has_failed(run) else stored


def _record(row: WeeklyRun, run: Run, verdict: dict[str, Any] | None) -> str:
    """Store the evidence of a run. Return why it permits nothing, as a sentence to append."""
    found = proof.record(run, origin=Evidence.Origin.WEEKLY, verdict=verdict)
    row.evidence = found.pk if found else None
    if found is None or found.passed:
        return ""
    return f" Its evidence permits no activation and no more users: {proof.why(found)}"


def _end(row: WeeklyRun, state: WeeklyRun.State, note: str) -> None:
    row.state, row.note = state, note
    row.save()
    WeeklyRun.objects.filter(pk=row.pk).update(ended_at=Now())
