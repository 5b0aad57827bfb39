"""One check of one ramp: read the facts, decide, and make the move in the same transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import F
from django.db.models.functions import Now

from aifeature import registry
from aifeature.models import FeatureControl, Ramp
from aifeature.models.functions import is_refused
from aifeature.policies.ramps import HELD_ALERT_S, Decision, Facts, Move, decide
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.controls import GLOBAL, switch_state
from aifeature.services.rollout import health
from aifeature.services.rollout.health import Health
from aifeature.services.rollout.ramp_moves import (
    HELD,
    OPEN,
    STEPPED_BACK,
    begin_hold,
    by_hand,
    end_alerts,
    end_hold,
    in_words,
    percent_of,
    record,
    values_of,
)

CHECK: Final = "control.rollout"
"""`check_name` of moves in the audit log."""


def check_one(pk: int) -> str:
    """Check one ramp. Return what happened in words; empty if it goes on or another process has it.

    Raises:
        django.db.Error: The database refuses. Nothing was changed.
    """
    with transaction.atomic():
        ramp = _locked(pk)
        if ramp is None:
            return ""
        if text := _why_over(ramp, FeatureControl.objects.filter(feature=ramp.feature).first()):
            return _stop(ramp, text)
        if ramp.state != Ramp.State.RUNNING:
            return f"waits for a person at {percent_of(ramp)} %"
        found = health.read(ramp.feature)
        return _apply(ramp, decide(_facts(ramp, found)), found)


def _locked(pk: int) -> Any:
    """Return the open ramp with the database's intervals; None if another process checks it."""
    rows = Ramp.objects.select_for_update(skip_locked=True).filter(pk=pk, state__in=OPEN)
    return rows.annotate(
        since_check=Now() - F("checked_at"), held_for=Now() - F("held_since")
    ).first()


def _why_over(ramp: Ramp, row: FeatureControl | None) -> str:
    if registry.find(ramp.feature) is None:
        return "The feature is not in this code."
    return by_hand(ramp, row)


def _facts(ramp: Any, found: Health) -> Facts:
    states = switch_state.of_all([ramp.feature, GLOBAL]).values()
    return Facts(
        steps=tuple(ramp.steps),
        step=ramp.step,
        healthy_s=ramp.healthy_s,
        since_check_s=ramp.since_check.total_seconds(),
        was_held=bool(ramp.hold_reason),
        level=found.level,
        why=found.why,
        hours_per_step=ramp.hours_per_step,
        is_stopped=any(state.killed or state.partial for state in states),
    )


def _apply(ramp: Any, decision: Decision, found: Health) -> str:
    ramp.healthy_s, ramp.checked_at = decision.healthy_s, Now()
    text = _move(ramp, decision, found)
    ramp.save()
    return text


def _move(ramp: Any, decision: Decision, found: Health) -> str:
    match decision.move:
        case Move.HOLD:
            return _hold(ramp, decision.reason, found)
        case Move.STEP_BACK:
            return _step_back(ramp, decision.reason, found)
        case Move.ADVANCE:
            return _advance(ramp, found)
        case Move.DONE:
            end_hold(ramp, check_name=CHECK)
            ramp.state, ramp.ended_at = Ramp.State.DONE, Now()
            new = f"done at {percent_of(ramp)} %"
            reason = "The last step had all of its healthy hours."
            _record(ramp, in_words(ramp), new, reason, found)
            return new
    end_hold(ramp, check_name=CHECK)
    return ""


def _hold(ramp: Any, reason: str, found: Health) -> str:
    begin_hold(ramp, reason, check_name=CHECK, figures=found.figures)
    if ramp.held_for is not None and ramp.held_for > timedelta(seconds=HELD_ALERT_S):
        hours = int(ramp.held_for / timedelta(hours=1))
        summary = (
            f"The ramp of {ramp.feature} is held at {percent_of(ramp)} % for {hours} hours:"
            f" {reason} Fix the cause, or stop the ramp on the feature's page."
        )
        alerts.begin_or_renew(HELD, ramp.feature, summary)
    return f"held at {percent_of(ramp)} %: {reason}"


def _advance(ramp: Any, found: Health) -> str:
    """Take the next step, or hold if the database refuses it."""
    reason = (
        f"Step {ramp.step + 2} of {len(ramp.steps)} of a ramp: all numbers were green for"
        f" {ramp.hours_per_step} hours."
    )
    try:
        if over := _set(ramp, ramp.step + 1, reason, found):
            return over
    except ValidationError as error:
        return _hold(ramp, " ".join(error.messages), found)
    except DatabaseError as error:
        if not is_refused(error):
            raise
        return _hold(ramp, "The database refuses the next step.", found)
    end_hold(ramp, check_name=CHECK)
    _begin_step(ramp, ramp.step + 1)
    return f"moved to {percent_of(ramp)} %"


def _step_back(ramp: Any, reason: str, found: Health) -> str:
    """Return to the percentage before this step, and wait for a person."""
    before = percent_of(ramp)
    if over := _set(ramp, ramp.step - 1, f"A ramp stepped back. {reason}", found):
        return over
    end_hold(ramp)
    _begin_step(ramp, ramp.step - 1)
    ramp.state = Ramp.State.STEPPED_BACK
    ramp.hold_reason = reason
    text = f"stepped back from {before} % to {percent_of(ramp)} %"
    _record(ramp, f"at {before} %", text, reason, found)
    summary = (
        f"The ramp of {ramp.feature} {text} and waits: {reason} Find the cause, then resume or stop"
        " it on the feature's page."
    )
    alerts.begin(STEPPED_BACK, ramp.feature, summary, found.figures)
    return text


def _begin_step(ramp: Ramp, step: int) -> None:
    ramp.step, ramp.healthy_s, ramp.step_started_at = step, 0.0, Now()


def _set(ramp: Ramp, step: int, reason: str, found: Health) -> str:
    """Set the stage and percentage of a step. Stop the ramp if the control changed meanwhile.

    Raises:
        ValidationError: The database would refuse the step.
    """
    row = FeatureControl.objects.select_for_update().filter(feature=ramp.feature).first()
    if text := by_hand(ramp, row):
        return _stop(ramp, text)
    controls.change(
        ramp.feature, values_of(ramp, step), reason=reason, check_name=CHECK, figures=found.figures
    )
    return ""


def _stop(ramp: Ramp, reason: str) -> str:
    """Stop a ramp that does not decide any more. Its audit row gives the reason."""
    ramp.state, ramp.ended_at = Ramp.State.STOPPED, Now()
    ramp.hold_reason, ramp.held_since = reason, None
    ramp.save(update_fields=["state", "ended_at", "hold_reason", "held_since"])
    record(ramp, old=in_words(ramp), new="stopped itself", reason=reason, check_name=CHECK)
    end_alerts(ramp.feature)
    return f"stopped itself: {reason}"


def _record(ramp: Ramp, old: str, new: str, reason: str, found: Health) -> None:
    record(ramp, old=old, new=new, reason=reason, check_name=CHECK, figures=found.figures)
