"""Effective settings of each feature, and the function that changes controls.

Kill switches are flipped by `services.controls.switch`, which shares no validation with this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from aifeature import prompts, registry
from aifeature.models import ControlChange, FeatureControl, KillMode, RegressionAction, Stage
from aifeature.models.transitions import Caps
from aifeature.money import to_micro
from aifeature.policies import budget
from aifeature.policies.budget import GlobalDaily
from aifeature.policies.rates import Rates
from aifeature.policies.release import is_released
from aifeature.services.controls import live, opening, waiting_jobs
from aifeature.services.controls.cache import GLOBAL, Control, cache
from aifeature.services.controls.live import LivePrompt
from aifeature.spec import Feature, Limits

__all__ = [
    "GLOBAL",
    "Control",
    "cache",
    "caps",
    "change",
    "deadline_s",
    "evals_caps",
    "feature_rates",
    "global_caps",
    "global_daily",
    "is_paused",
    "keeps_jobs",
    "live_prompts",
    "live_version",
    "prompt_version",
    "regression_action",
    "retention_days",
    "stage",
]


def stage(feature: Feature) -> Stage:
    """Return the stage of a feature: at most STAFF while this code has no prompt that is live."""
    set_stage = cache.get(feature.slug).stage
    if set_stage in opening.STAFF_ONLY or live_version(feature) is not None:
        return set_stage
    return Stage.STAFF


def is_paused(slug: str, user_id: int) -> bool:
    """Return whether the feature's kill switch or the global one stops this user's jobs."""
    return next(_pulled(slug, user_id), None) is not None


def keeps_jobs(slug: str, user_id: int) -> bool:
    """Return whether every switch that stops this user's jobs holds them instead of cancelling."""
    return all(control.kill_mode == KillMode.HOLD for control in _pulled(slug, user_id))


def _pulled(slug: str, user_id: int) -> Iterator[Control]:
    """Yield the controls that stop this user's jobs: the feature's, that of GLOBAL, or both."""
    controls = cache.all()
    for name in (slug, GLOBAL):
        control = controls.of(name)
        if control.killed or not is_released(name, user_id, percent=control.release_percent):
            yield control


def prompt_version(feature: Feature) -> str:
    """Return the version for staff and evaluations, which may be unproven: the control's.

    If this release cannot use it: the live one, or the code's default. `row_check` opens an alert
    in that case.
    """
    control = cache.get(feature.slug)
    active = control.prompt_version
    if active and not prompts.incompatibility(feature.slug, active):
        return active
    return live.version(feature, control.live) or feature.prompt_version


def live_prompts(feature: Feature) -> tuple[LivePrompt, ...]:
    """Return the prompts that may be live, the preferred one first, in this code or not."""
    return cache.get(feature.slug).live


def live_version(feature: Feature) -> str | None:
    """Return the version for users; None if this code has no prompt that is live.

    Internal features have no users, and no gate.
    """
    if feature.internal:
        return prompt_version(feature)
    return live.version(feature, cache.get(feature.slug).live)


def regression_action(slug: str) -> RegressionAction:
    """Return what follows a confirmed regression, from the database. By default an alert alone."""
    row = FeatureControl.objects.filter(feature=slug).only("regression_action").first()
    is_known = row is not None and row.regression_action in RegressionAction  # or a newer release's
    return RegressionAction(row.regression_action) if row and is_known else RegressionAction.NOTIFY


def deadline_s(feature: Feature) -> int:
    """Return the seconds from a job's submission to its deadline."""
    return cache.get(feature.slug).deadline_s or feature.limits.deadline_s


def retention_days(slug: str) -> int:
    """Return the days after its end at which a job's content is deleted.

    A feature that is no longer in the code keeps the operator's value, or the default.
    """
    feature = registry.all_features().get(slug)
    limits = feature.limits if feature else Limits()
    return cache.get(slug).retention_days or limits.retention_days


def caps(feature: Feature) -> Caps:
    """Return the spend caps for one call. They exclude the concurrency limit."""
    control = cache.get(feature.slug)
    return budget.caps(
        feature.limits,
        user_daily_usd=control.user_daily_budget_usd,
        user_spend_usd=_user_spend(feature, control),
        account_spend_usd=account_spend_usd(),
        daily_usd=control.daily_budget_usd,
        shared=global_caps(),
    )


def global_caps() -> Caps:
    """Return the spend caps over all features. A site without features has them too."""
    setting: Decimal | None = settings.AIFEATURE["GLOBAL_MONTHLY_BUDGET_USD"]
    monthly = _first(cache.get(GLOBAL).monthly_budget_usd, setting)
    return Caps(everything=to_micro(global_daily().usd), month=to_micro(monthly))


def evals_caps() -> Caps:
    """Return the caps for a call of an evaluation: its own for the day, and the global ones."""
    usd: Decimal | None = settings.AIFEATURE["EVALS_DAILY_BUDGET_USD"]
    return replace(global_caps(), feature=to_micro(usd))


def account_spend_usd() -> Decimal | None:
    """Return the cap on one user's spend over all features in a UTC day; None is no cap.

    The operator's value for GLOBAL, else the largest cap of any offered feature, if all have one.
    """
    usd = cache.get(GLOBAL).user_daily_spend_usd
    if usd is not None:
        return usd
    each = [_user_spend(f, cache.get(f.slug)) for f in registry.offered().values()]
    capped = [usd for usd in each if usd is not None]
    return max(capped) if capped and len(capped) == len(each) else None


def _user_spend(feature: Feature, control: Control) -> Decimal | None:
    return budget.user_spend_usd(
        feature.limits,
        budget_usd=control.user_daily_budget_usd,
        spend_usd=control.user_daily_spend_usd,
    )


def global_daily() -> GlobalDaily:
    """Return the daily cap over all features, and its source."""
    controls = cache.all()
    return budget.global_daily(
        {
            slug: _first(controls.of(slug).daily_budget_usd, feature.limits.daily_budget_usd)
            for slug, feature in registry.offered().items()
        },
        evals=settings.AIFEATURE["EVALS_DAILY_BUDGET_USD"],
        admin=controls.of(GLOBAL).daily_budget_usd,
        setting=settings.AIFEATURE["GLOBAL_DAILY_BUDGET_USD"],
    )


def feature_rates(feature: Feature) -> Rates:
    """Return the feature's rates for a user without an override."""
    control, limits = cache.get(feature.slug), feature.limits
    return Rates(
        control.requests_per_minute or limits.requests_per_minute,
        control.tokens_per_minute or limits.tokens_per_minute,
        control.user_in_flight or limits.user_in_flight,
    )


def _first(usd: Decimal | None, otherwise: Decimal | None) -> Decimal | None:
    return otherwise if usd is None else usd


def change(
    slug: str,
    values: Mapping[str, Any],
    *,
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
    figures: Mapping[str, Any] | None = None,
) -> FeatureControl:
    """Set fields of a feature's control and write one audit row for each changed field.

    Args:
        slug: A feature's slug, or GLOBAL.
        values: New values by field name of FeatureControl (not `beta_users`, not `beta_groups`).
        reason: Never empty.
        user_id: The operator who makes the change.
        check_name: The check or command that makes it, if no operator does.
        figures: The check's measurements, for the audit rows.
    """
    if not reason.strip():
        raise ValueError("a change of a control needs a reason")
    with transaction.atomic():
        FeatureControl.objects.get_or_create(feature=slug)
        row = FeatureControl.objects.select_for_update().get(feature=slug)
        before = {name: getattr(row, name) for name in values}
        for name, value in values.items():
            setattr(row, name, value)
        # Other columns may hold values of another release, which fail this one's validation.
        fields = row._meta.concrete_fields  # noqa: SLF001 (Django documents it)
        others = {field.name for field in fields} - values.keys()
        row.full_clean(exclude=others, validate_unique=False)
        if "prompt_version" in values and row.prompt_version != before["prompt_version"]:
            _check_version(row)
        opening.check(row, before)
        row.save(update_fields=[*values, "updated_at"])
        ControlChange.objects.bulk_create(
            ControlChange(
                feature=slug,
                field=name,
                old=_text(before[name]),
                new=_text(getattr(row, name)),
                reason=reason,
                user_id=user_id,
                check_name=check_name,
                figures=None if figures is None else dict(figures),
            )
            for name in values
            if before[name] != getattr(row, name)
        )
        if any(before[name] != getattr(row, name) for name in waiting_jobs.RATES & values.keys()):
            waiting_jobs.reschedule(slug)
    cache.clear()
    return row


def _check_version(row: FeatureControl) -> None:
    versions = prompts.versions(row.feature) if registry.find(row.feature) else ()
    if row.prompt_version and row.prompt_version not in versions:
        raise ValidationError({"prompt_version": f"{row.feature} has no {row.prompt_version}."})


def _text(value: object) -> str:
    return "" if value is None else str(value)
