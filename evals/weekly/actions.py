"""The consequences of a weekly run: alerts, and the action that the feature chose."""

from __future__ import annotations

from typing import Any, Final

from aifeature import prompts, registry
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.promotion import RefusedError, activations
from evals.harness import conclude, plan
from evals.models import Run, Sample, WeeklyRun
from evals.statistics.findings import p_value
from evals.statistics.verdict import Verdict
from evals.weekly import marks, rows
from evals.weekly.baseline import Baseline

CHECK: Final = "weekly evals"
"""`check_name` of the audit rows."""

ROLL_BACK: Final = "roll_back"
STOP: Final = "stop"
NOTIFY: Final = "notify"
"""The values of `FeatureControl.regression_action`."""


def after_regression(row: WeeklyRun) -> str:
    """Do what the feature chose, and alert on-call. Return what happened, in sentences."""
    figures = figures_of(row)
    why = " ".join((row.confirmation_verdict or {}).get("reasons", ()))
    found = (
        f"{row.feature} {row.version} is worse than at its activation, in two runs: {_rates(row)}."
        f" The fresh run: {why}"
    )
    done = _act(row, found, figures)
    text = f"{found} {done}"
    alerts.begin(rows.REGRESSION, row.feature, text, figures)
    alerts.begin_or_renew(rows.REGRESSION, row.feature, text)
    alerts.end(rows.INCOMPLETE, row.feature)
    return text


def _act(row: WeeklyRun, reason: str, figures: dict[str, Any]) -> str:
    if row.action == ROLL_BACK:
        return _roll_back(row, reason, figures)
    if row.action == STOP:
        if controls.switch.trip(row.feature, check=CHECK, reason=reason, figures=figures):
            return "Its kill switch was pulled."
        return "Its kill switch was pulled already."
    return "Nothing was changed, as its controls say: roll it back, stop it, or improve the prompt."


def _roll_back(row: WeeklyRun, reason: str, figures: dict[str, Any]) -> str:
    if activations.rollback_target(registry.get(row.feature)) == row.version:
        return _not_rolled_back(f"The newest earlier version is {row.version} itself.")
    try:
        done = activations.roll_back(row.feature, reason=reason, check_name=CHECK, figures=figures)
    except RefusedError as refused:
        return _not_rolled_back(str(refused))
    return f"It was rolled back to {done.version}."


def _not_rolled_back(why: str) -> str:
    return f"It was not rolled back, and users still get it. {why}"


def figures_of(row: WeeklyRun) -> dict[str, Any]:
    """Return the figures of both runs, for the audit log and the alert."""
    verdict, again = row.verdict or {}, row.confirmation_verdict or {}
    return {
        "version": row.version,
        "baseline": str(row.baseline_evidence or row.baseline_run_id or "floor alone"),
        **_figures("", verdict),
        **_figures("confirming_", again),
        "floor": verdict.get("floor"),
        "run": str(row.run_id),
        "confirmation": str(row.confirmation_id),
    }


def _figures(prefix: str, verdict: dict[str, Any]) -> dict[str, Any]:
    candidate, baseline = verdict.get("candidate"), verdict.get("baseline")
    found = {
        "rate": candidate["rate"] if candidate else None,
        "baseline_rate": baseline["rate"] if baseline else None,
        "drop_points": _minus(verdict.get("difference_points")),
        "p": verdict.get("p"),
    }
    digits = {"p": 6, "drop_points": 2}
    return {
        f"{prefix}{name}": None if value is None else round(value, digits.get(name, 4))
        for name, value in found.items()
    }


def _minus(points: float | None) -> float | None:
    return None if points is None else -points


def _rates(row: WeeklyRun) -> str:
    """Return what both runs measured, such as `60.0% and 61.2% pass, and 80.0% in its baseline`."""
    verdicts = [row.verdict or {}, row.confirmation_verdict or {}]
    rates = " and ".join(f"{v['candidate']['rate']:.1%}" for v in verdicts if v.get("candidate"))
    before, floor = verdicts[0].get("baseline"), verdicts[0].get("floor")
    against = (
        f"{before['rate']:.1%} in its baseline" if before else f"its floor is {floor or 0:.1%}"
    )
    ps = ", ".join(p_value(v["p"]) for v in verdicts if v.get("p") is not None)
    return f"{rates} pass, and {against}" + (f" ({ps})" if ps else "")


def compare_models(row: WeeklyRun, run: Run, base: Baseline, found: Verdict) -> None:
    """Alert on-call if other models answer than those of the baseline. Nothing is voided.

    A model of the feature's own route counts above a share of the answers only: it answers while
    the first one is busy.
    """
    new = marks.new_models(row.answered_by, base.answered_by) if base.answered_by else []
    if not any(_counts(run, model) for model in new):
        alerts.end(rows.MODEL_CHANGED, row.feature)
        return
    text = (
        f"{marks.listed(new)} answers for {row.feature} {row.version}, whose evidence was made with"
        f" {marks.listed(base.answered_by)}: the provider changed what a model's name stands for,"
        f" or another model of the route answers. {_shift(found)} The evidence stays valid and"
        " names its model. Read the report, and activate the prompt again with new evidence."
    )
    alerts.begin(rows.MODEL_CHANGED, row.feature, text, {"run": str(run.pk), "models": new})
    alerts.begin_or_renew(rows.MODEL_CHANGED, row.feature, text)


def _counts(run: Run, model: str) -> bool:
    if model not in prompts.models(registry.get(run.feature)):
        return True
    answers = run.samples.filter(arm=plan.CANDIDATE, state=Sample.State.SCORED).exclude(model="")
    return answers.filter(model=model).count() > conclude.MOST_OTHER_MODELS * answers.count()


def _shift(found: Verdict) -> str:
    if found.difference_points is None or found.candidate is None:
        return "No comparison shows a shift of the pass rate."
    shift = f"{found.difference_points:+.1f} points, to {found.candidate.rate:.1%}"
    score = found.score_difference
    by_judge = "" if score is None else f", and the mean score by {score:+.3f}"
    return f"The pass rate shifted by {shift}{by_judge}."


def outdated(live: Any) -> str:
    """Return why the result of a run leads to nothing."""
    now = f"{live.version} ({live.hash[:8]}) became live" if live else "nothing is live any more"
    return f"During this run {now}. The result is stored, and nothing follows from it."


def end_alerts(row: WeeklyRun) -> None:
    """Close the alerts that a complete run without a regression ends."""
    for kind in (rows.REGRESSION, rows.INCOMPLETE):
        alerts.end(kind, row.feature)
