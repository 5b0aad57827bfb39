"""Forms that pull and release a kill switch, and the state that they show first."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.utils import quote
from django.db import Error, transaction
from django.http import HttpRequest
from django.urls import reverse
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminRadioSelectWidget

from aifeature.admin.audit_log.changes import made_by
from aifeature.admin.common import dialog_page
from aifeature.admin.common.names import title_of
from aifeature.admin.common.show import utc
from aifeature.admin.controls.prompt_notices import FeatureForm
from aifeature.admin.rollout import impact_panel
from aifeature.models import KillMode
from aifeature.services.controls import GLOBAL, switch_state
from aifeature.services.controls.switch_state import ALL, SwitchState
from aifeature.services.rollout.impact import Impact


class _SwitchForm(FeatureForm):
    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("initial", dialog_page.typed(request))
        super().__init__(request, *args, **kwargs)

    def get_before_template_context(
        self, request: HttpRequest, object_id: Any = None
    ) -> dict[str, Any]:
        """Return the state of the switch, and the work in flight when the dialog opens."""
        del request, object_id  # the form has both
        return {
            "title": "every feature" if self.slug == GLOBAL else title_of(self.slug),
            "under_way": switch_state.under_way(self.slug),
            "change_reason_url": change_reason_url(self.slug),
            **self._state(),
        }

    def _state(self) -> dict[str, Any]:
        """Return the state of the switch. The dialog must also open if it cannot be read."""
        try:
            with transaction.atomic():
                return {"switch": described(switch_state.of(self.slug))}
        except Error:
            return {"is_unreadable": True}


class StopForm(_SwitchForm):
    """Shows what a stop affects. Takes what happens to the jobs, and a reason.

    The database decides whether the switch is already pulled, so the form does not check it.
    """

    form_before_template = "aifeature/admin/switch_stop.html"

    @property
    def impact(self) -> Impact | None:
        return impact_panel.of_stop(self.slug)

    mode = forms.ChoiceField(
        label="Waiting and running jobs",
        choices=(
            (KillMode.HOLD.value, "Hold: they continue after the release"),
            (KillMode.CANCEL.value, "Cancel: they end permanently"),
        ),
        initial=KillMode.HOLD,
        widget=UnfoldAdminRadioSelectWidget,
        help_text="Deadlines are not extended while jobs are held.",
    )
    field_order = ("mode", "reason")


class ChangeReasonForm(StopForm):
    """Shows the current reason. Takes a new one, and what happens to the jobs from now on."""

    form_before_template = "aifeature/admin/switch_change_reason.html"
    impact = None
    """It neither stops nor releases anything."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        if found := self._state().get("switch"):
            self.initial = {"mode": found["mode"], **self.initial}


class ReleaseForm(_SwitchForm):
    """Shows who pulled the switch, when and why. Takes the share of users and a reason."""

    form_before_template = "aifeature/admin/switch_release.html"
    percent = forms.IntegerField(
        label="Share of users (%)",
        initial=ALL,
        min_value=1,
        max_value=ALL,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="100 means all users. Users of a smaller share stay included when you raise it.",
    )
    field_order = ("percent", "reason")

    @property
    def impact_heading(self) -> str:
        percent = self._percent()
        users = "all users" if percent == ALL else f"{percent} % of users"
        return f"Blast radius of a release for {users}"

    @property
    def impact(self) -> Impact | None:
        return impact_panel.of_release(self.slug, self._percent())

    def _percent(self) -> int:
        """Return the share that was entered, or all users."""
        found: int = self.cleaned_data.get("percent", ALL) if self.is_bound else ALL
        return found

    def clean_percent(self) -> int:
        """Reject a release that would not admit more users than now."""
        percent: int = self.cleaned_data["percent"]
        if problem := switch_state.of(self.slug).why_no_release(percent):
            raise forms.ValidationError(problem)
        return percent


def change_reason_url(slug: str) -> str:
    return reverse("admin:aifeature_featurecontrol_change_reason", args=(quote(slug),))


def described(state: SwitchState) -> dict[str, Any] | None:
    """Return the state of a switch that is on for all or some users; None while it is off."""
    if not state.killed and not state.partial:
        return None
    pull = state.pulled
    return {
        "killed": state.killed,
        "percent": state.percent,
        "who": made_by(pull) if pull else "unknown",
        "when": utc(pull.at) if pull else "at an unknown time",
        "reason": state.reason or (pull.reason if pull else "") or "No reason was given.",
        "mode": state.mode.value,
        "jobs": "held" if state.mode == KillMode.HOLD else "cancelled",
    }
