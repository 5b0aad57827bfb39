"""What the controls say of each feature, and the one way to edit them.

A kill switch is flipped by `services.controls.switch`, which shares no validation with this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from aifeature import prompts, registry
from aifeature.models import ControlChange, FeatureControl, KillMode, Stage
from aifeature.models.transitions import Caps
from aifeature.policies import budget
from aifeature.policies.access import Visitor, may_use
from aifeature.policies.budget import GlobalDaily
from aifeature.policies.rates import Rates
from aifeature.policies.release import is_released
from aifeature.services.controls import waiting_jobs
from aifeature.services.controls.cache import GLOBAL, Control, cache
from aifeature.spec import Feature, Limits

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = [
    "GLOBAL",
    "Control",
    "cache",
    "caps",
    "change",
    "deadline_s",
    "feature_rates",
    "global_daily",
    "is_paused",
    "is_visible",
    "keeps_jobs",
    "open_for_local_stack",
    "prompt_version",
    "retention_days",
]


def is_visible(feature: Feature, user: User) -> bool:
    """Whether the feature exists for this user."""
    control = cache.get(feature.slug)
    visitor = Visitor(user.pk, user.is_staff, user.pk in control.invited)
    return may_use(feature.slug, stage=control.stage, percent=control.percent, visitor=visitor)


def is_paused(slug: str, user_id: int) -> bool:
    """Whether a kill switch, the feature's or that of everything, stops this user's jobs."""
    return next(_pulled(slug, user_id), None) is not None


def keeps_jobs(slug: str, user_id: int) -> bool:
    """Whether the switches that stop this user's jobs hold them, and cancel none."""
    return all(control.kill_mode == KillMode.HOLD for control in _pulled(slug, user_id))


def _pulled(slug: str, user_id: int) -> Iterator[Control]:
    """The controls, of the feature and of everything, that stop this user's jobs."""
    controls = cache.all()
    for name in (slug, GLOBAL):
        control = controls.of(name)
        if control.killed or not is_released(name, user_id, percent=control.release_percent):
            yield control


def prompt_version(feature: Feature) -> str:
    """The version that answers now: the active one, or the code's if this release lacks that.

    `row_check` opens an alert on it.
    """
    active = cache.get(feature.slug).prompt_version
    if not active or prompts.why_not(feature.slug, active):
        return feature.prompt_version
    return active


def deadline_s(feature: Feature) -> int:
    """Seconds a job of the feature may take from its submission."""
    return cache.get(feature.slug).deadline_s or feature.limits.deadline_s


def retention_days(slug: str) -> int:
    """Days after its end at which a job of this feature loses its content.

    A feature that is no longer in the code keeps what an operator set, or the default.
    """
    feature = registry.all_features().get(slug)
    limits = feature.limits if feature else Limits()
    return cache.get(slug).retention_days or limits.retention_days


def caps(feature: Feature) -> Caps:
    """What each call of the feature must fit in, but for how many of a user there may be."""
    control, everything = cache.get(feature.slug), cache.get(GLOBAL)
    return budget.caps(
        feature.limits,
        user_daily_usd=control.user_daily_budget_usd,
        user_spend_usd=_user_spend(feature, control),
        account_spend_usd=account_spend_usd(),
        daily_usd=control.daily_budget_usd,
        global_daily_usd=global_daily().usd,
        global_monthly_usd=_or(everything.monthly_budget_usd, "GLOBAL_MONTHLY_BUDGET_USD"),
    )


def account_spend_usd() -> Decimal | None:
    """What one user's calls of all features may cost in one UTC day; None is no cap.

    The largest spend cap of any feature, unless an operator set one for GLOBAL.
    """
    found = cache.get(GLOBAL).user_daily_spend_usd
    if found is not None:
        return found
    each = [_user_spend(f, cache.get(f.slug)) for f in registry.all_features().values()]
    known = [usd for usd in each if usd is not None]
    return max(known) if known and len(known) == len(each) else None


def _user_spend(feature: Feature, control: Control) -> Decimal | None:
    return budget.user_spend_usd(
        feature.limits,
        budget_usd=control.user_daily_budget_usd,
        spend_usd=control.user_daily_spend_usd,
    )


def global_daily() -> GlobalDaily:
    """The cap of a UTC day over all features, and where it comes from."""
    controls = cache.all()
    return budget.global_daily(
        {
            slug: _first(controls.of(slug).daily_budget_usd, feature.limits.daily_budget_usd)
            for slug, feature in registry.all_features().items()
        },
        admin=controls.of(GLOBAL).daily_budget_usd,
        setting=settings.AIFEATURE["GLOBAL_DAILY_BUDGET_USD"],
    )


def feature_rates(feature: Feature) -> Rates:
    """The rates of a user of the feature for whom there is no exception."""
    control, limits = cache.get(feature.slug), feature.limits
    return Rates(
        control.requests_per_minute or limits.requests_per_minute,
        control.tokens_per_minute or limits.tokens_per_minute,
        control.user_in_flight or limits.user_in_flight,
    )


def _first(usd: Decimal | None, otherwise: Decimal | None) -> Decimal | None:
    return otherwise if usd is None else usd


def _or(usd: Decimal | None, setting: str) -> Decimal | None:
    found: Decimal | None = settings.AIFEATURE[setting] if usd is None else usd
    return found


def change(
    slug: str,
    values: Mapping[str, Any],
    *,
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
    figures: Mapping[str, Any] | None = None,
) -> FeatureControl:
    """Set fields of a feature's control and write one audit row for each that changed.

    Args:
        slug: A feature's slug, or GLOBAL.
        values: New values by field name of FeatureControl (not `beta_users`).
        reason: Why; never empty.
        user_id: Who did it; or
        check_name: which check or command did.
        figures: What a check saw, for the audit rows.
    """
    if not reason.strip():
        raise ValueError("a change of a control needs a reason")
    with transaction.atomic():
        FeatureControl.objects.get_or_create(feature=slug)
        row = FeatureControl.objects.select_for_update().get(feature=slug)
        before = {name: getattr(row, name) for name in values}
        for name, value in values.items():
            setattr(row, name, value)
        # What is not changed may be unknown to this release, and must not be in the way.
        fields = row._meta.concrete_fields  # noqa: SLF001 (Django documents it)
        others = {field.name for field in fields} - values.keys()
        row.full_clean(exclude=others, validate_unique=False)
        if "prompt_version" in values and row.prompt_version != before["prompt_version"]:
            _check_version(row)
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
            waiting_jobs.look_again(slug)
    cache.clear()
    return row


def _check_version(row: FeatureControl) -> None:
    known = prompts.versions(row.feature) if registry.find(row.feature) else ()
    if row.prompt_version and row.prompt_version not in known:
        raise ValidationError({"prompt_version": f"{row.feature} has no {row.prompt_version}."})


def _text(value: object) -> str:
    return "" if value is None else str(value)


def open_for_local_stack() -> None:
    """Open every feature whose controls nobody has changed. For the local stack only."""
    for slug in registry.all_features():
        if not ControlChange.objects.filter(feature=slug).exists():
            change(
                slug,
                {"stage": Stage.EVERYONE},
                reason="The local stack opens its own features.",
                check_name="manage.py stack",
            )
