"""The form of a feature's control."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final, cast

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from aifeature import prompts, registry, system_checks
from aifeature.admin.common.names import title_of
from aifeature.admin.controls import limit_words
from aifeature.admin.controls.confirm_form import ConfirmedForm
from aifeature.admin.controls.limit_words import Meaning
from aifeature.admin.controls.prompt_notices import prompts_url
from aifeature.admin.rollout import impact_panel
from aifeature.models import FeatureControl, Stage
from aifeature.policies import budget
from aifeature.services.controls import GLOBAL, opening
from aifeature.services.rollout.impact import Impact
from aifeature.spec import MAX_RETENTION_DAYS, Feature

_SLOWEST: Final = Decimal("0.01")
"""Requests per minute: the smallest positive rate that the column can store."""

_LABELS: Final = {
    "daily_budget_usd": "Daily budget (USD)",
    "user_daily_budget_usd": "Daily budget per user (USD)",
    "user_daily_spend_usd": "Daily spend per user (USD)",
    "monthly_budget_usd": "Monthly budget (USD)",
}

INVITED: Final = ("beta_users", "beta_groups")
"""Fields with rows of their own, which are saved after the control."""

MOST_PLACES: Final = 1_000_000
MOST_HELD_OUT: Final = 50
_OF_A_USER: Final = ("user_daily_budget_usd", "user_daily_spend_usd")


class FeatureControlForm(ConfirmedForm):
    """Requires a reason, and rejects a save based on values that have changed since."""

    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Stored in the audit log."
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    """Time of the last change before the page was opened."""

    not_changes = frozenset({"seen"})
    harmless = frozenset({"retention_days", "regression_action"})

    class Meta:
        model = FeatureControl
        fields = (
            *("stage", "percent", "beta_users", "beta_groups", "beta_cap", "holdout_percent"),
            "prompt_version",
            *("daily_budget_usd", "user_daily_budget_usd", "user_daily_spend_usd"),
            "monthly_budget_usd",
            *("requests_per_minute", "tokens_per_minute", "user_in_flight"),
            *("regression_action", "deadline_s", "retention_days"),
        )
        # Visitors who may only view see these texts. The model's own describe empty fields.
        help_texts: ClassVar = limit_words.HELP

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in _LABELS.items():
            if name in self.fields:
                self.fields[name].label = label
        self.fields["seen"].initial = self._last_change
        self._limit("percent", 0, 100)
        self._limit("beta_cap", 0, MOST_PLACES)
        self._limit("holdout_percent", 0, MOST_HELD_OUT)
        self._limit("daily_budget_usd", 0)
        self._limit("user_daily_budget_usd", 0)
        self._limit("user_daily_spend_usd", 0)
        self._limit("monthly_budget_usd", 0)
        self._limit("requests_per_minute", _SLOWEST)
        self._limit("tokens_per_minute", 1)
        self._limit("user_in_flight", 1)
        self._limit("deadline_s", 1, 3000)
        self._limit("retention_days", 1, MAX_RETENTION_DAYS)
        feature = registry.find(self.instance.feature)
        if feature is not None:
            self._explain(limit_words.of_feature(feature))
        elif self.instance.feature == GLOBAL:
            self._explain(limit_words.of_everything())
        if "prompt_version" in self.fields:
            self.fields["prompt_version"] = self._prompt_version(feature)
        if "stage" in self.fields and self.instance.stage not in Stage:
            stages = cast("forms.ChoiceField", self.fields["stage"])
            stages.choices = [
                *Stage.choices,
                (self.instance.stage, _elsewhere(self.instance.stage)),
            ]

    @property
    def subject(self) -> str:
        return title_of(self.instance.feature)

    @property
    def impact(self) -> Impact:
        """The blast radius of the new values."""
        return impact_panel.of_values(self.instance.feature, self.new_values)

    @property
    def basis(self) -> str:
        """The control that the person saw."""
        return f"{self.instance.pk} {self._last_change}"

    def clean_seen(self) -> str:
        """Reject the save if a user or a check changed the control since the page was opened.

        Otherwise saving one field would restore the old values of all others. That could raise a
        cap by mistake.
        """
        seen: str = self.cleaned_data["seen"]
        if seen != self._last_change:
            raise forms.ValidationError(
                "This control was changed while you had the page open. Reload it and try again."
            )
        return seen

    def clean(self) -> dict[str, Any]:
        """Reject caps that are too small for the largest input of a feature."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        for name in _OF_A_USER:
            if name in self.changed_data and values.get(name) is not None:
                for feature in self._features():
                    if problem := system_checks.too_small(feature, values[name]):
                        self.add_error(name, f"{problem} Enter more.")
                        break
        return values

    def _post_clean(self) -> None:
        """Refuse, at its field, a change that gives users a prompt without evidence."""
        super()._post_clean()  # type: ignore[misc]  # no stub
        changed = opening.FIELDS & set(self.changed_data)
        invites = self._invites
        if (changed or invites) and not self.errors:
            before = {name: self.initial[name] for name in changed}
            try:
                opening.check(self.instance, before, invites=invites)
            except forms.ValidationError as error:
                self.add_error(None, error)

    @property
    def _invites(self) -> bool:
        """Whether it adds users or groups to the invited ones."""
        return any(map(self._adds, INVITED))

    def _adds(self, name: str) -> bool:
        if name not in self.changed_data or name not in self.cleaned_data:
            return False
        before = {row.pk for row in self.initial[name]}
        return not before >= {row.pk for row in self.cleaned_data[name]}

    def _features(self) -> list[Feature]:
        """Return the features to which the caps of this form apply."""
        if self.instance.feature == GLOBAL:
            return list(registry.offered().values())
        feature = registry.find(self.instance.feature)
        return [] if feature is None else [feature]

    @property
    def doubts(self) -> list[str]:
        """Warnings about values that are allowed but may be mistakes."""
        feature = registry.find(self.instance.feature)
        if feature is None or not {*_OF_A_USER, "daily_budget_usd"} & set(self.values_changed):
            return []
        charge, spend, daily = (
            self.cleaned_data[name] for name in (*_OF_A_USER, "daily_budget_usd")
        )
        daily = feature.limits.daily_budget_usd if daily is None else daily
        spend = budget.user_spend_usd(feature.limits, budget_usd=charge, spend_usd=spend)
        problem = system_checks.too_large(feature, spend_usd=spend, daily_usd=daily)
        return [problem] if problem else []

    def _get_validation_exclusions(self) -> set[str]:
        """Skip unchanged values: they may come from another release and be invalid here."""
        exclusions: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # no stub
        return exclusions | {name for name in self.fields if name not in self.changed_data}

    @property
    def _last_change(self) -> str:
        control: FeatureControl = self.instance
        return control.updated_at.isoformat()

    def _limit(self, name: str, lowest: int | Decimal, highest: int | None = None) -> None:
        if name not in self.fields:
            return
        self.fields[name].validators.append(MinValueValidator(lowest))
        if highest is not None:
            self.fields[name].validators.append(MaxValueValidator(highest))

    def _explain(self, meanings: Mapping[str, Meaning]) -> None:
        for name, meaning in meanings.items():
            if name in self.fields:
                self.fields[name].help_text = meaning.limits
                self.fields[name].widget.attrs["placeholder"] = meaning.unset

    def _prompt_version(self, feature: Feature | None) -> forms.ChoiceField:
        current = self.instance.prompt_version
        choices = [("", "the code's version")] if feature is None else _versions(feature)
        if current and current not in dict(choices):
            choices.append((current, _elsewhere(current)))
        return forms.ChoiceField(
            choices=choices,
            required=False,
            widget=UnfoldAdminSelectWidget,
            help_text=_of_version(feature),
        )


def _of_version(feature: Feature | None) -> str:
    if feature is None:
        return limit_words.HELP["prompt_version"]
    return format_html(
        '{} At other stages, activate a version: <a class="aif-link" href="{}">{}</a>.',
        limit_words.HELP["prompt_version"],
        prompts_url(feature.slug),
        "Prompts and evidence",
    )


def _elsewhere(value: str) -> str:
    return f"{value} (not in this release)"


def _versions(feature: Feature) -> list[tuple[str, str]]:
    named = [(version, version) for version in prompts.versions(feature.slug)]
    return [("", f"{feature.prompt_version} (the code's version)"), *named]
