"""Buttons that start, stop and resume a ramp, and the card that shows it."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.enums import ActionVariant

from aifeature import registry
from aifeature.admin.alerting.number_actions import NumberButtons
from aifeature.admin.audit_log import changes
from aifeature.admin.common.dialogs import button, done
from aifeature.admin.common.show import span, utc
from aifeature.admin.rollout.ramp_forms import ResumeForm, StartForm, StopForm
from aifeature.models import Ramp
from aifeature.policies.ramps import LONGEST_GAP_S
from aifeature.services.rollout import ramps

CHANGE: Final = "aifeature.change_featurecontrol"

MOVES: Final = 5

_COLOURS: Final[dict[str, str]] = {
    Ramp.State.RUNNING: "info",
    Ramp.State.STEPPED_BACK: "danger",
    Ramp.State.DONE: "success",
    Ramp.State.STOPPED: "",
}


class RampButtons(NumberButtons):
    """Dialogs of a feature's ramp. They need the permission to change features."""

    actions_row: Any = (
        *NumberButtons.actions_row,
        *("start_ramp", "stop_ramp", "resume_ramp"),
    )

    def has_ramp_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(CHANGE)

    @button(
        "Start ramp",
        permission="ramp",
        title="Start a ramp",
        description="The percentage of users rises step by step while all numbers are green. A"
        " number that is amber or missing holds it, and a red one steps it back.",
        form=StartForm,
        icon="trending_up",
    )
    def start_ramp(self, request: HttpRequest, form: StartForm, object_id: str) -> HttpResponse:
        values = form.cleaned_data
        with _refusals():
            ramp = ramps.start(
                form.feature.slug,
                steps=values["steps"],
                hours_per_step=values["hours"],
                reason=values["reason"],
                user_id=int(request.user.pk or 0),
            )
        text = f"The ramp is started: {ramps.percent_of(ramp)} % of users may use it now."
        return self._stay(request, form, text)

    @button(
        "Stop ramp",
        permission="ramp",
        title="Stop the ramp",
        description="It takes no further step. The percentage stays as it is.",
        form=StopForm,
        icon="stop_circle",
        variant=ActionVariant.DANGER,
    )
    def stop_ramp(self, request: HttpRequest, form: StopForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        with _refusals():
            ramp = ramps.stop(form.feature.slug, reason=reason, user_id=int(request.user.pk or 0))
        return self._stay(request, form, f"The ramp is stopped at {ramps.percent_of(ramp)} %.")

    @button(
        "Resume ramp",
        permission="ramp",
        title="Resume the ramp",
        description="Its step needs all of its healthy hours again.",
        form=ResumeForm,
        icon="play_arrow",
    )
    def resume_ramp(self, request: HttpRequest, form: ResumeForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        with _refusals():
            ramp = ramps.resume(form.feature.slug, reason=reason, user_id=int(request.user.pk or 0))
        return self._stay(request, form, f"The ramp goes on from {ramps.percent_of(ramp)} %.")

    def _stay(self, request: HttpRequest, form: Any, text: str) -> HttpResponse:
        messages.success(request, text)
        return done("admin:aifeature_featurecontrol_change", quote(form.feature.slug))


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refusal into an error of the dialog."""
    try:
        yield
    except ramps.RefusedError as error:
        raise ValidationError(str(error)) from None


def card(request: HttpRequest, slug: str, now: datetime) -> dict[str, Any] | None:
    """Return what the card of a feature's ramp shows; None if users cannot get the feature."""
    feature = registry.find(slug)
    if feature is None or feature.internal:
        return None
    ramp = ramps.latest(slug)
    found: dict[str, Any] = {"buttons": _buttons(request, slug, ramp)}
    if ramp is None:
        return found
    if request.user.has_perm("aifeature.view_controlchange"):
        found["moves"] = changes.table(ramps.moves(slug).select_related("user")[:MOVES])
    return {**found, **_described(ramp, now)}


def _described(ramp: Ramp, now: datetime) -> dict[str, Any]:
    is_running = ramp.state == Ramp.State.RUNNING
    who = ramp.created_by.get_username() if ramp.created_by else "-"
    return {
        "state": Ramp.State(ramp.state).label if ramp.state in Ramp.State else ramp.state,
        "colour": "warning" if is_running and ramp.hold_reason else _COLOURS.get(ramp.state, ""),
        "label": "held" if is_running and ramp.hold_reason else "",
        "is_open": ramp.state in ramps.OPEN,
        "is_back": ramp.state == Ramp.State.STEPPED_BACK,
        "hold_reason": ramp.hold_reason,
        "held_for": _since(ramp.held_since, now),
        "steps": _steps(ramp),
        "before": ramp.started_from if ramp.step >= 0 else f"back at {ramp.started_from}",
        "facts": [
            ("Healthy time", f"{span(ramp.healthy_s)} of {ramp.hours_per_step} h"),
            ("Next move", _next(ramp, now)),
            ("Last check", f"{_since(ramp.checked_at, now)} ago"),
        ]
        if is_running
        else [("Ended" if ramp.ended_at else "Waits since", utc(ramp.ended_at or ramp.checked_at))],
        "started": f"Started by {who}, {utc(ramp.created_at)}: {ramp.reason}",
    }


def _steps(ramp: Ramp) -> list[dict[str, Any]]:
    """Return the steps as the progress line shows them. The current one has its healthy time."""
    is_done = ramp.state == Ramp.State.DONE
    needed = ramp.hours_per_step * 3_600
    return [
        {
            "percent": percent,
            "state": "done" if number < ramp.step or is_done else "now",
            "value": round(needed if number < ramp.step or is_done else ramp.healthy_s),
            "max": needed,
        }
        if number <= ramp.step
        else {"percent": percent, "state": "ahead", "value": 0, "max": needed}
        for number, percent in enumerate(ramp.steps)
    ]


def _next(ramp: Ramp, now: datetime) -> str:
    if (now - ramp.checked_at).total_seconds() > LONGEST_GAP_S:
        return "unknown: the check does not run"
    if ramp.hold_reason:
        return "when the hold ends"
    left = timedelta(seconds=max(0.0, ramp.hours_per_step * 3_600 - ramp.healthy_s))
    what = "done" if ramp.step + 1 >= len(ramp.steps) else f"{ramp.steps[ramp.step + 1]} %"
    return f"{what}, {ramp.checked_at + left:%Y-%m-%d %H:%M} UTC at the earliest"


def _since(moment: datetime | None, now: datetime) -> str:
    return span(max(0.0, (now - moment).total_seconds())) if moment else ""


def _buttons(request: HttpRequest, slug: str, ramp: Ramp | None) -> list[dict[str, Any]]:
    """Return the buttons that have an effect and that this visitor may press."""
    if not request.user.has_perm(CHANGE):
        return []
    if ramp is None or ramp.state not in ramps.OPEN:
        return [{"text": "Start ramp", "url": _url(slug, "start_ramp"), "icon": "trending_up"}]
    found = []
    if ramp.state == Ramp.State.STEPPED_BACK:
        found.append({"text": "Resume", "url": _url(slug, "resume_ramp"), "icon": "play_arrow"})
    stop = {"text": "Stop ramp", "url": _url(slug, "stop_ramp"), "icon": "stop_circle"}
    return [*found, {**stop, "danger": True}]


def _url(slug: str, action: str) -> str:
    return reverse(f"admin:aifeature_featurecontrol_{action}", args=(quote(slug),))
