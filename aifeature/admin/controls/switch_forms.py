"""What pulling and releasing a kill switch ask for, and what they show first."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.utils import quote, unquote
from django.db import Error, transaction
from django.http import HttpRequest
from django.urls import reverse
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminRadioSelectWidget

from aifeature.admin.audit_log.changes import made_by
from aifeature.admin.common import dialog_page
from aifeature.admin.common.dialogs import ReasonForm
from aifeature.admin.common.names import title_of
from aifeature.admin.common.show import utc
from aifeature.models import KillMode
from aifeature.services.controls import GLOBAL, switch_state
from aifeature.services.controls.switch_state import ALL, SwitchState


class _SwitchForm(ReasonForm):
    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("initial", dialog_page.typed(request))
        super().__init__(request, *args, **kwargs)

    @property
    def slug(self) -> str:
        return unquote(str(self.object_id))

    def get_before_template_context(
        self, request: HttpRequest, object_id: Any = None
    ) -> dict[str, Any]:
        """What is under way, counted when the dialog opens, and how the switch stands."""
        del request, object_id  # the form has both
        return {
            "title": "every feature" if self.slug == GLOBAL else title_of(self.slug),
            "under_way": switch_state.under_way(self.slug),
            "change_reason_url": change_reason_url(self.slug),
            **self._state(),
        }

    def _state(self) -> dict[str, Any]:
        """How it stands. A dialog that cannot show this must open all the same."""
        try:
            with transaction.atomic():
                return {"switch": described(switch_state.of(self.slug))}
        except Error:
            return {"is_unreadable": True}


class StopForm(_SwitchForm):
    """Shows what it will stop; asks what becomes of the jobs, and why.

    Whether it is stopped already is not checked here: the database decides, when it is stopped.
    """

    form_before_template = "aifeature/admin/switch_stop.html"
    mode = forms.ChoiceField(
        label="Jobs that wait or run",
        choices=(
            (KillMode.HOLD.value, "Hold: they go on after the release"),
            (KillMode.CANCEL.value, "Cancel: they end for good"),
        ),
        initial=KillMode.HOLD,
        widget=UnfoldAdminRadioSelectWidget,
        help_text="Deadlines run on while jobs are held.",
    )
    field_order = ("mode", "reason")


class ChangeReasonForm(StopForm):
    """Shows why it is stopped; asks why instead, and what becomes of the jobs from now on."""

    form_before_template = "aifeature/admin/switch_change_reason.html"

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        if found := self._state().get("switch"):
            self.initial = {"mode": found["mode"], **self.initial}


class ReleaseForm(_SwitchForm):
    """Shows who pulled it, when and why; asks for whom it goes on, and why."""

    form_before_template = "aifeature/admin/switch_release.html"
    percent = forms.IntegerField(
        label="For how many users (%)",
        initial=ALL,
        min_value=1,
        max_value=ALL,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="100: for all. With less, the same users stay in when you raise it.",
    )
    field_order = ("percent", "reason")

    def clean_percent(self) -> int:
        """Refuse a release of what is not stopped, and one that would stop it for somebody."""
        percent: int = self.cleaned_data["percent"]
        if problem := switch_state.of(self.slug).why_no_release(percent):
            raise forms.ValidationError(problem)
        return percent


def change_reason_url(slug: str) -> str:
    """Where the dialog is that changes why this switch is pulled."""
    return reverse("admin:aifeature_featurecontrol_change_reason", args=(quote(slug),))


def described(state: SwitchState) -> dict[str, Any] | None:
    """A switch that is on, wholly or in part, in words; None while it is off."""
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
