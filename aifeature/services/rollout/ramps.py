"""Ramps: start, stop, resume, and the check that moves them. Every move is in the audit log."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from aifeature import registry
from aifeature.models import ControlChange, FeatureControl, Ramp, Stage
from aifeature.policies import ramps as policy
from aifeature.services import controls
from aifeature.services.alerting.check_runs import Found
from aifeature.services.rollout import ramp_check
from aifeature.services.rollout.ramp_moves import (
    FIELD,
    HELD,
    OPEN,
    STEPPED_BACK,
    by_hand,
    end_alerts,
    end_hold,
    in_words,
    percent_of,
    record,
)

__all__ = [
    "FIELD",
    "HELD",
    "OPEN",
    "STEPPED_BACK",
    "RefusedError",
    "check",
    "in_words",
    "latest",
    "moves",
    "percent_of",
    "present",
    "problem",
    "resume",
    "start",
    "stop",
]

logger = logging.getLogger(__name__)

_BELOW: Final = frozenset({Stage.OFF, Stage.STAFF, Stage.BETA})
"""Stages below a percentage: a ramp sets the stage to percent."""


class RefusedError(ValueError):
    """A ramp cannot start, stop or resume. The text is a sentence for the person who tried."""


def start(
    slug: str, *, steps: Sequence[int], hours_per_step: int, reason: str, user_id: int
) -> Ramp:
    """Start a ramp, take its first step, and return it.

    Args:
        slug: A feature of the code that users may use.
        steps: Percentages from 1 to 100, rising, the first one above the present percentage.
        hours_per_step: Healthy hours before each next step, 1 to 720.
        reason: For the audit log.
        user_id: The operator; callers check the permission to change features.

    Raises:
        RefusedError: The ramp is invalid, another one is open, or the prompt has no evidence.
    """
    _check_reason(reason)
    feature = registry.find(slug)
    if feature is None or feature.internal:
        raise RefusedError(f"There is no feature {slug!r} for users in this code.")
    with _refusals(), transaction.atomic():
        FeatureControl.objects.get_or_create(feature=slug)
        row = FeatureControl.objects.select_for_update().get(feature=slug)
        if text := problem(row, steps, hours_per_step):
            raise RefusedError(text)
        ramp = Ramp.objects.create(
            feature=slug,
            steps=list(steps),
            hours_per_step=hours_per_step,
            started_from=present(row),
            started_stage=row.stage,
            reason=reason,
            created_by_id=user_id,
        )
        plan = f"{in_words(ramp)}, {hours_per_step} healthy hours for each step"
        record(ramp, old="", new=plan, reason=reason, user_id=user_id)
        _set_first(ramp, reason, user_id)
    return ramp


def problem(row: FeatureControl, steps: Sequence[int], hours_per_step: int) -> str:
    """Return why a ramp of this feature cannot start, as a sentence; empty if it can."""
    slug = row.feature
    if row.stage not in _BELOW | {Stage.PERCENT}:
        return f"The stage of {slug} is {row.stage}, which is above a percentage. Lower it first."
    if Ramp.objects.filter(feature=slug, state__in=OPEN).exists():
        return f"A ramp of {slug} is open already. Stop it first."
    return policy.problem(list(steps), hours=hours_per_step, present=present(row))


def present(row: FeatureControl) -> int:
    """Return the percentage of users who may use the feature by its stage."""
    return row.percent if row.stage == Stage.PERCENT else 0


def stop(
    slug: str,
    *,
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
    figures: Mapping[str, Any] | None = None,
) -> Ramp:
    """Stop the open ramp. The percentage stays as it is.

    Args:
        slug: The feature.
        reason: For the audit log.
        user_id: The operator; callers check the permission to change features.
        check_name: The check that does it, if no operator does, with its `figures`.
        figures: The check's measurements.

    Raises:
        RefusedError: There is no open ramp.
    """
    _check_reason(reason)
    with transaction.atomic():
        ramp = _open(slug)
        ramp.state, ramp.ended_at = Ramp.State.STOPPED, Now()
        ramp.save(update_fields=["state", "ended_at"])
        new = f"stopped at {percent_of(ramp)} %"
        by: dict[str, Any] = {"user_id": user_id, "check_name": check_name, "figures": figures}
        record(ramp, old=in_words(ramp), new=new, reason=reason, **by)
        end_alerts(slug)
    return ramp


def resume(slug: str, *, reason: str, user_id: int) -> Ramp:
    """Continue a ramp that stepped back. Its step needs all of its healthy hours again.

    If it went back before its first step, that step is taken again immediately, as at the start.

    Raises:
        RefusedError: No ramp waits for a person, a person changed the percentage meanwhile, or the
            database refuses the step.
    """
    _check_reason(reason)
    with _refusals(), transaction.atomic():
        ramp = _open(slug)
        if ramp.state != Ramp.State.STEPPED_BACK:
            raise RefusedError(f"The ramp of {slug} did not step back. There is nothing to resume.")
        row = FeatureControl.objects.select_for_update().filter(feature=slug).first()
        if text := by_hand(ramp, row):
            raise RefusedError(f"{text} Stop this ramp and start another one.")
        old = f"waits at {percent_of(ramp)} %"
        ramp.state, ramp.healthy_s = Ramp.State.RUNNING, 0.0
        ramp.step_started_at = ramp.checked_at = Now()
        end_hold(ramp)
        ramp.save()
        record(ramp, old=old, new="resumed", reason=reason, user_id=user_id)
        end_alerts(slug)
        if ramp.step < 0:
            ramp.step = 0
            ramp.save(update_fields=["step"])
            _set_first(ramp, reason, user_id)
    return ramp


def latest(slug: str) -> Ramp | None:
    """Return the open ramp of a feature, else its last one."""
    return Ramp.objects.select_related("created_by").filter(feature=slug).order_by("-id").first()


def moves(slug: str) -> QuerySet[ControlChange]:
    """Return what ramps of this feature did: starts, moves, holds and ends, newest first."""
    own = ControlChange.objects.filter(feature=slug)
    return own.filter(field=FIELD) | own.filter(check_name=ramp_check.CHECK, field="percent")


def check() -> Found:
    """Check every open ramp, each in its own transaction. A failed one does not stop the others.

    Two processes may run it at the same time: each ramp is checked by one of them.
    """
    failed: list[str] = []
    moved: dict[str, str] = {}
    found = Ramp.objects.filter(state__in=OPEN).order_by("pk").values_list("pk", "feature")
    for pk, slug in found:
        try:
            moved[slug] = ramp_check.check_one(pk)
        except Exception:
            # The text of an error may quote values. The log's formatter removes them.
            logger.exception("the ramp of %s was not checked", slug)
            failed.append(slug)
    parts = [f"{slug}: {text}" for slug, text in moved.items() if text]
    parts += [f"{slug}: its check failed" for slug in failed]
    if not found:
        return Found(ok=True, result="No ramp is open.")
    result = "; ".join(parts) or "Every ramp goes on."
    return Found(ok=not failed, result=result, figures={"open": len(found), "failed": len(failed)})


def _open(slug: str) -> Ramp:
    found = Ramp.objects.select_for_update().filter(feature=slug, state__in=OPEN).first()
    if found is None:
        raise RefusedError(f"No ramp of {slug} is open.")
    return found


def _set_first(ramp: Ramp, reason: str, user_id: int) -> None:
    values: dict[str, Any] = {"stage": Stage.PERCENT, "percent": ramp.steps[0]}
    controls.change(ramp.feature, values, reason=reason, user_id=user_id)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refusal of the controls or of the database into a RefusedError."""
    try:
        yield
    except ValidationError as error:
        raise RefusedError(" ".join(error.messages)) from None
    except IntegrityError:
        raise RefusedError("Another ramp was started meanwhile. Nothing was changed.") from None


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise RefusedError("Enter a reason.")
