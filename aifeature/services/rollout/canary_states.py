"""The states of a canary, and the audit row of each decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Now

from aifeature.models import Canary, ControlChange
from aifeature.policies.canary import Figures
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.promotion import RefusedError, activations
from aifeature.services.rollout import canary_figures

FIELD: Final = "canary"
"""`ControlChange.field` of a decision."""

CHECK: Final = "control.rollout"
"""The check that decides."""

ROLLED_BACK: Final = "canary_rolled_back"
"""Kind of the alert. The subject is the feature."""

HELD: Final = "canary_held"
"""Kind of the alert while the check holds a canary, which serves its candidate meanwhile."""

State = Canary.State


class CanaryRefusedError(Exception):
    """The canary is not changed. The text names the cause and the fix."""

    text_is_ours = True


def record(
    canary: Canary,
    new: str,
    *,
    old: str = "",
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write a decision to the audit log. All processes read the canary again after the commit."""
    if not reason.strip():
        raise CanaryRefusedError("It needs a reason.")
    ControlChange.objects.create(
        feature=canary.feature,
        field=FIELD,
        old=old.replace("_", " "),
        new=f"{canary.version}: {new.replace('_', ' ')}",
        reason=reason,
        user_id=user_id,
        check_name=check_name,
        figures={"canary": canary.pk, **(figures or {})},
    )
    transaction.on_commit(controls.clear_cache)


def hold(canary: Canary, found: Figures | None, *, reason: str, **by: Any) -> None:
    """Keep a canary at its share until a person continues it."""
    _set(canary, State.HELD, found, reason=reason, hold_reason=reason, **by)
    if by.get("check_name"):  # a person who holds it does not need to be called
        held = f"The canary of {canary.feature} {canary.version} is held at its share: {reason}"
        alerts.begin(HELD, canary.feature, f"{held} Continue or stop it in admin, Canaries.")


def resume(canary: Canary, *, reason: str, **by: Any) -> None:
    _set(canary, State.RUNNING, None, reason=reason, hold_reason="", **by)
    alerts.end(HELD, canary.feature)


def end(
    canary: Canary, state: Canary.State, found: Figures | None, *, reason: str, **by: Any
) -> None:
    """End a canary. Users get the live version from their next job on."""
    _set(canary, state, found, reason=reason, end_reason=reason, ended_at=Now(), **by)
    alerts.end(HELD, canary.feature)


def promote(canary: Canary, found: Figures, *, reason: str, **by: Any) -> None:
    """Make the candidate live, and end the canary. Call it in a transaction.

    Raises:
        RefusedError: the candidate does not become live, and nothing was changed.
    """
    current = activations.live_row(canary.feature)
    if current is None or current.prompt_hash != canary.live_hash:
        raise RefusedError("Another version became live meanwhile.")
    activations.activate(canary.feature, canary.version, reason=reason, seen=current.pk, **by)
    end(canary, State.PROMOTED, found, reason=reason, **by)


def _set(
    canary: Canary,
    state: Canary.State,
    found: Figures | None,
    *,
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
    **fields: Any,
) -> None:
    old, canary.state = canary.state, state
    for name, value in fields.items():
        setattr(canary, name, value)
    brief = canary_figures.in_brief(found) if found else None
    record(
        *(canary, state),
        old=old,
        reason=reason,
        user_id=user_id,
        check_name=check_name,
        figures=brief,
    )
    canary.save(update_fields=["state", *fields])
