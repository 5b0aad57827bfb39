"""Forms of the dialogs about canaries."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanWidget,
)

from aifeature import registry
from aifeature.admin.common.dialogs import ReasonForm
from aifeature.admin.rollout import impact_panel
from aifeature.models import Canary
from aifeature.services.rollout import canaries, impact
from aifeature.services.rollout.impact import Impact

_MOST_DIGITS: Final = 18
"""Digits of a number that any column holds."""


def _share(initial: int) -> forms.IntegerField:
    return forms.IntegerField(
        label="Share of users (%)",
        initial=initial,
        min_value=canaries.PERCENTS.start,
        max_value=canaries.PERCENTS.stop - 1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="1 to 50. Raising it keeps the users who have the candidate already.",
    )


class StartForm(ReasonForm):
    """Offers the versions with evidence."""

    form_before_template = "aifeature/admin/canary_start.html"
    version = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget, help_text="Only versions that might be activated."
    )
    percent = _share(5)
    latency_limit_s = forms.DecimalField(
        label="Slow above (s)",
        initial=canaries.LATENCY_LIMIT_MS // 1000,
        min_value=1,
        max_value=600,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    promotes = forms.BooleanField(
        label="Goes live by itself",
        initial=True,
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="When its figures permit it. Otherwise a person decides.",
    )
    field_order = ("version", "percent", "latency_limit_s", "promotes", "reason")

    def __init__(self, request: HttpRequest, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(request, object_id, **kwargs)
        feature = registry.find(unquote(str(object_id)))
        if feature is None or feature.internal:
            raise Http404
        self.feature = feature
        found = canaries.candidates(feature)
        self.fields["version"].choices = [(each, each) for each in found]  # type: ignore[attr-defined]

    @property
    def impact(self) -> Impact:
        """The blast radius of the share that was typed, or of the proposed one."""
        return impact.of(self.feature.slug, arm_percent=_percent(self))

    def get_before_template_context(
        self, request: HttpRequest, object_id: Any = None
    ) -> dict[str, Any]:
        del request, object_id  # the form has both
        fields: Any = self.fields["version"]
        return {"title": self.feature.title, "has_candidates": bool(fields.choices)}


class CanaryForm(ReasonForm):
    """The form of a dialog about a canary. The dialog shows the blast radius."""

    def __init__(self, request: HttpRequest, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(request, object_id, **kwargs)
        self.canary = known(str(object_id))

    @property
    def impact(self) -> Impact:
        return impact_panel.of_prompt(self.canary.feature)


class ShareForm(CanaryForm):
    percent = _share(10)
    field_order = ("percent", "reason")

    @property
    def impact(self) -> Impact:
        """The blast radius of the share that was typed, or of the proposed one."""
        return impact.of(self.canary.feature, arm_percent=_percent(self))


def known(object_id: str) -> Canary:
    """Return the canary of an admin page. Raises Http404 if there is none."""
    text = unquote(object_id)
    is_id = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    found = Canary.objects.filter(pk=int(text)).first() if is_id else None
    if found is None:
        raise Http404
    return found


def _percent(form: ReasonForm) -> int:
    """Return the percentage in a form, as it was typed if it is one."""
    field = form.fields["percent"]
    typed = str(form.data.get("percent", ""))
    is_share = typed.isascii() and typed.isdigit() and int(typed) in canaries.PERCENTS
    return int(typed) if is_share else int(field.initial)
