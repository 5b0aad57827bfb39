"""Forms that start, stop and resume a ramp."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from aifeature import registry
from aifeature.admin.common.dialogs import ReasonForm
from aifeature.admin.rollout import impact_panel
from aifeature.models import FeatureControl, Ramp
from aifeature.policies.ramps import MOST_HOURS
from aifeature.services.rollout import ramps
from aifeature.spec import Feature

USUAL: Final = (5, 10, 25, 100)
HOURS: Final = 24


class _RampForm(ReasonForm):
    def __init__(self, request: HttpRequest, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(request, object_id, **kwargs)
        self.feature = known(object_id)
        self.row = FeatureControl.objects.filter(
            feature=self.feature.slug
        ).first() or FeatureControl(feature=self.feature.slug)


class StartForm(_RampForm):
    """Shows the blast radius of each step. Starts a ramp only with the steps that were shown."""

    form_before_template = "aifeature/admin/ramp_start.html"
    steps = forms.CharField(
        max_length=120,
        widget=UnfoldAdminTextInputWidget,
        help_text="Percentages, rising. The first one applies at once.",
    )
    hours = forms.IntegerField(
        label="Healthy hours per step",
        initial=HOURS,
        min_value=1,
        max_value=MOST_HOURS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Time with all numbers green before the next step. 1 to 720.",
    )
    confirmed = forms.CharField(required=False, widget=forms.HiddenInput)
    """Mark of the steps whose blast radius the person saw."""
    field_order = ("steps", "hours", "reason")

    def __init__(self, request: HttpRequest, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(request, object_id, **kwargs)
        present = ramps.present(self.row)
        usual = [step for step in USUAL if step > present] or [100]
        self.fields["steps"].initial = ", ".join(str(step) for step in usual)
        self.fields["confirmed"].initial = _mark(usual)
        self._shown = usual

    def clean_steps(self) -> list[int]:
        """Return the percentages of the text `5, 10, 25`."""
        parts = self.cleaned_data["steps"].replace("%", " ").replace(",", " ").split()
        if not parts or not all(part.isdecimal() for part in parts):
            raise forms.ValidationError("Enter percentages, such as 5, 10, 25, 100.")
        return [int(part) for part in parts]

    def clean(self) -> dict[str, Any]:
        """Refuse an invalid ramp, and one whose blast radius was not shown."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if "steps" not in values or "hours" not in values:
            return values
        if text := ramps.problem(self.row, values["steps"], values["hours"]):
            raise forms.ValidationError(text)
        self._shown = values["steps"]
        if values.get("confirmed") != _mark(values["steps"]) and not self.errors:
            self.data = {**_typed(self.data), "confirmed": _mark(values["steps"])}
            raise forms.ValidationError(
                "Nothing was started yet. Read what these steps affect, then start the ramp again."
            )
        return values

    def get_before_template_context(
        self, request: HttpRequest, object_id: Any = None
    ) -> dict[str, Any]:
        """Return the blast radius of each step that is entered, or of the usual steps."""
        del request, object_id  # the form has both
        slug = self.feature.slug
        steps = [(step, impact_panel.of_step(slug, step)) for step in self._shown]
        return {"title": self.feature.title, "steps": steps, "around": steps[0][1].around}


class StopForm(_RampForm):
    """Shows where the ramp is. The percentage stays."""

    form_before_template = "aifeature/admin/ramp_stop.html"

    def get_before_template_context(
        self, request: HttpRequest, object_id: Any = None
    ) -> dict[str, Any]:
        """Return the open ramp."""
        del request, object_id  # the form has both
        ramp = ramps.latest(self.feature.slug)
        is_open = ramp is not None and ramp.state in ramps.OPEN
        return {
            "title": self.feature.title,
            "ramp": ramp if is_open else None,
            "steps": ramps.in_words(ramp) if ramp else "",
            "percent": ramps.percent_of(ramp) if ramp else 0,
        }


class ResumeForm(StopForm):
    """Shows why the ramp stepped back, and the reach of its step."""

    form_before_template = "aifeature/admin/ramp_resume.html"

    @property
    def impact(self) -> Any:
        """The blast radius of the step that the ramp takes next."""
        ramp = ramps.latest(self.feature.slug)
        if ramp is None or ramp.state != Ramp.State.STEPPED_BACK:
            return None
        return impact_panel.of_step(self.feature.slug, ramps.percent_of(ramp, ramp.step + 1))

    impact_heading = "Blast radius of the next step"


def known(object_id: object) -> Feature:
    """Return the feature of a dialog. Raises Http404 if users cannot get it in this code."""
    feature = registry.find(unquote(str(object_id)))
    if feature is None or feature.internal:
        raise Http404
    return feature


def _typed(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in data}


def _mark(steps: list[int]) -> str:
    return hashlib.sha256(repr(steps).encode()).hexdigest()[:16]
