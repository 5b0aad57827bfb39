"""The card of a feature's numbers, and the dialog that chooses what follows when one is red."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from datetime import UTC
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget

from aifeature import registry
from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.models import HealthReading, NumberAction
from aifeature.policies.numbers import RULES, Six
from aifeature.services.alarms import rules, words
from aifeature.spec import Feature

CHANGE: Final = "aifeature.change_featurecontrol"

_COLOURS: Final[dict[str, str]] = {"green": "success", "amber": "warning", "red": "danger"}


class ActionsForm(ReasonForm):
    """One choice for each number. An action needs the permission for doing it by hand."""

    def __init__(self, request: HttpRequest, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(request, object_id, **kwargs)
        self.feature = _known(object_id)
        self._may = request.user.has_perm
        self._before = rules.of(self.feature.slug)
        for number, chosen in self._before.items():
            rule = RULES[Six(number)]
            limit = words.value(rule.threshold, rule.unit)
            self.fields[number] = forms.ChoiceField(
                label=rule.title,
                choices=NumberAction.choices,
                initial=chosen,
                widget=UnfoldAdminSelectWidget,
                help_text=f"Threshold: {limit}.",
            )
        self.order_fields([*self._before, "reason"])

    @property
    def chosen(self) -> dict[str, NumberAction]:
        return {number: NumberAction(self.cleaned_data[number]) for number in self._before}

    def clean(self) -> dict[str, Any]:
        """Refuse a new action that this person may not do."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        for number, before in self._before.items():
            action = values.get(number, before)
            needed = rules.NEEDED.get(action, "")
            if action != before and needed and not self._may(needed):
                self.add_error(number, f"To choose it you need the permission {needed}.")
        return values


class NumberButtons(ModelAdmin):
    """The dialog of a feature's numbers. It needs the permission to change features."""

    actions_row: Any = ("number_actions",)

    def has_numbers_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(CHANGE)

    @button(
        "Choose actions",
        permission="numbers",
        title="When a number turns red",
        description="On-call is always alerted. The action follows immediately, without a person.",
        form=ActionsForm,
        icon="rule",
    )
    def number_actions(
        self, request: HttpRequest, form: ActionsForm, object_id: str
    ) -> HttpResponse:
        slug = form.feature.slug
        reason, user = form.cleaned_data["reason"], int(request.user.pk or 0)
        count = rules.save(slug, form.chosen, reason=reason, user_id=user)
        messages.success(request, f"{count} changed." if count else "Nothing was changed.")
        return done("admin:aifeature_featurecontrol_change", quote(slug))


def card(request: HttpRequest, slug: str) -> dict[str, Any] | None:
    """Return the numbers of a feature with their levels and actions; None if it has no users."""
    feature = registry.find(slug)
    if feature is None or feature.internal:
        return None
    readings = {row.number: row for row in HealthReading.objects.filter(feature=slug)}
    chosen = rules.of(slug)
    return {
        "rows": [
            {
                "title": RULES[number].title,
                "threshold": words.value(RULES[number].threshold, RULES[number].unit),
                "action": chosen[number].label if number in chosen else _OF_EVALS,
                **_reading(readings.get(number), RULES[number].unit),
            }
            for number in Six
        ],
        "buttons": _buttons(request, slug),
    }


_OF_EVALS: Final = "Below: after a regression"


def _reading(row: HealthReading | None, unit: str) -> dict[str, str]:
    if row is None:
        return {"level": "", "value": "too few data", "at": "-", "colour": ""}
    return {
        "level": row.level,
        "colour": _COLOURS.get(row.level, ""),
        "value": words.value(row.figures.get("value"), unit),
        "at": f"{row.measured_at.astimezone(UTC):%m-%d %H:%M}",
    }


def _buttons(request: HttpRequest, slug: str) -> list[dict[str, Any]]:
    if not request.user.has_perm(CHANGE):
        return []
    url = reverse("admin:aifeature_featurecontrol_number_actions", args=(quote(slug),))
    return [{"text": "Choose actions", "url": url, "icon": "rule"}]


def _known(object_id: object) -> Feature:
    """Return the feature of a dialog. Raises Http404 if users cannot get it in this code."""
    feature = registry.find(unquote(str(object_id)))
    if feature is None or feature.internal:
        raise Http404
    return feature
