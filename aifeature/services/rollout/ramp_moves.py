"""Rows that ramps write and read: the audit rows, the alerts, and the values that a ramp set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db.models.functions import Now

from aifeature.models import ControlChange, FeatureControl, Ramp, Stage
from aifeature.services.alerting import alerts

FIELD: Final = "ramp"
"""`ControlChange.field` of what happens to a ramp. Its moves change `percent` and `stage`."""

HELD: Final = "ramp_held"
STEPPED_BACK: Final = "ramp_stepped_back"
"""Kinds of alerts."""

OPEN: Final = (Ramp.State.RUNNING, Ramp.State.STEPPED_BACK)

NOT_HELD: Final = "goes on"


def in_words(ramp: Ramp) -> str:
    """Return the steps of a ramp: `5 → 10 → 25 → 100 %`."""
    return f"{' → '.join(str(step) for step in ramp.steps)} %"


def percent_of(ramp: Ramp, step: int | None = None) -> int:
    """Return the percentage of a step, by default the current one; -1 is before the first."""
    index = ramp.step if step is None else step
    return int(ramp.steps[index]) if index >= 0 else ramp.started_from


def values_of(ramp: Ramp, step: int | None = None) -> dict[str, Any]:
    """Return the stage and the percentage that the control has at a step."""
    index = ramp.step if step is None else step
    stage = Stage.PERCENT.value if index >= 0 else ramp.started_stage
    return {"stage": stage, "percent": percent_of(ramp, index)}


def by_hand(ramp: Ramp, row: FeatureControl | None) -> str:
    """Return why the control is not as the ramp left it, as a sentence; empty if it is."""
    if row is None:
        return "The control of the feature is gone."
    expected = values_of(ramp)
    stage, percent = row.stage, row.percent
    if stage != expected["stage"]:
        return f"The stage was changed by hand from {expected['stage']} to {stage}."
    if stage == Stage.PERCENT and percent != expected["percent"]:
        return f"The percentage was changed by hand from {expected['percent']} to {percent}."
    return ""


def record(
    ramp: Ramp,
    *,
    old: str,
    new: str,
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write an audit row about a ramp."""
    ControlChange.objects.create(
        feature=ramp.feature,
        field=FIELD,
        old=old,
        new=new,
        reason=reason,
        user_id=user_id,
        check_name=check_name,
        figures=None if figures is None else dict(figures),
    )


def begin_hold(ramp: Ramp, reason: str, *, check_name: str, figures: Mapping[str, Any]) -> None:
    """Hold a ramp. Only the beginning of a hold is in the audit log, not each check of it."""
    if not ramp.hold_reason:
        new = f"held at {percent_of(ramp)} %"
        record(ramp, old=NOT_HELD, new=new, reason=reason, check_name=check_name, figures=figures)
        ramp.held_since = Now()
    ramp.hold_reason = reason


def end_hold(ramp: Ramp, *, check_name: str = "") -> None:
    """End a hold, with its audit row if a check ends it."""
    if ramp.hold_reason and check_name:
        old = f"held at {percent_of(ramp)} %"
        reason = "All numbers are green again."
        record(ramp, old=old, new=NOT_HELD, reason=reason, check_name=check_name)
    if ramp.hold_reason:
        alerts.end(HELD, ramp.feature)
    ramp.hold_reason, ramp.held_since = "", None


def end_alerts(slug: str) -> None:
    """Close the alerts of a feature's ramp."""
    for kind in (HELD, STEPPED_BACK):
        alerts.end(kind, slug)
