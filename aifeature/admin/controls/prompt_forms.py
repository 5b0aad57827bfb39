"""Forms that activate a prompt, roll it back and override the gate, and the state they show."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from aifeature import registry
from aifeature.admin.common.show import moment, utc
from aifeature.admin.controls.prompt_notices import FeatureForm
from aifeature.admin.rollout import impact_panel
from aifeature.models import Activation
from aifeature.services.promotion import activations, standing
from aifeature.services.promotion.standing import Standing
from aifeature.services.rollout.impact import Impact
from aifeature.spec import Feature


class _PromptForm(FeatureForm):
    """Shows what is live. Carries the id of the row that the person saw."""

    cancel_url = "../prompts/"
    row = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, request: HttpRequest, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(request, object_id, **kwargs)
        self.feature = known(str(object_id))
        if self.feature.internal:
            raise Http404  # no user reaches it, so nothing of it is activated
        self.now: Standing = standing.of(self.feature)
        seen = self._seen()
        self.fields["row"].initial = seen.pk if seen else 0

    def add_error(self, field: str | None, error: Any) -> None:
        """Add the error, and count what is shown from now on as seen."""
        super().add_error(field, error)
        if field is None and self.data:
            self.now = standing.of(self.feature)
            seen = self._seen()
            typed = {name: self.data.get(name) for name in self.data}
            self.data = {**typed, "row": seen.pk if seen else 0}

    def get_before_template_context(
        self, request: HttpRequest, object_id: Any = None
    ) -> dict[str, Any]:
        del request, object_id  # the form has both
        return {"now": self.now, "title": self.feature.title}

    def _seen(self) -> Activation | None:
        return self.now.live


class _OfVersionForm(_PromptForm):
    version = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, request: HttpRequest, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(request, object_id, **kwargs)
        choices = [(each.version, each.version) for each in self.now.versions if each.hash]
        self.fields["version"].choices = choices  # type: ignore[attr-defined]
        self.fields["version"].initial = request.GET.get("version")


class ActivateForm(_OfVersionForm):
    form_before_template = "aifeature/admin/prompt_activate.html"
    field_order = ("version", "reason")


class RollBackForm(_PromptForm):
    """Names the version to which it goes."""

    form_before_template = "aifeature/admin/prompt_roll_back.html"

    def get_before_template_context(
        self, request: HttpRequest, object_id: Any = None
    ) -> dict[str, Any]:
        found = super().get_before_template_context(request, object_id)
        target = next((v for v in self.now.versions if v.version == self.now.rollback), None)
        proof = target.evidence if target else None
        return {**found, "target": target, "measured": moment(proof.measured_at) if proof else ""}


class OverrideForm(_OfVersionForm):
    form_before_template = "aifeature/admin/prompt_activate.html"
    hours = forms.IntegerField(
        label="Hours",
        initial=24,
        min_value=1,
        max_value=168,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Counted from the approval. At most 168 (a week).",
    )
    field_order = ("version", "hours", "reason")


class ApproveForm(_PromptForm):
    """Shows the request. Carries its id."""

    form_before_template = "aifeature/admin/prompt_approve.html"

    def get_before_template_context(
        self, request: HttpRequest, object_id: Any = None
    ) -> dict[str, Any]:
        found = super().get_before_template_context(request, object_id)
        row = self.now.request
        asked = {"who": activations.by(row), "when": utc(row.at)} if row else {}
        is_own = row is not None and row.user_id == request.user.pk
        return {**found, "request": row, "is_own": is_own, **asked}

    def _seen(self) -> Activation | None:
        return self.now.request


class EndForm(_PromptForm):
    form_before_template = "aifeature/admin/prompt_end.html"

    @property
    def impact(self) -> Impact | None:
        ends = self.now.override is not None and not self.now.after_override
        return impact_panel.of_prompt(self.slug, staff_only=ends)

    def _seen(self) -> Activation | None:
        return self.now.override or self.now.request


def known(object_id: str) -> Feature:
    """Return the feature of an admin page. Raises Http404 if this code has no such feature."""
    feature = registry.find(unquote(object_id))
    if feature is None:
        raise Http404
    return feature
