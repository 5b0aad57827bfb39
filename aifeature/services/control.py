"""The controls of each feature as every process sees them, and the one way to change them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import ControlChange, FeatureControl, RateOverride, Stage
from aifeature.models.transitions import Caps
from aifeature.policies import budget
from aifeature.policies.access import Visitor, may_use
from aifeature.policies.rates import Override, Rates
from aifeature.policies.release import is_released
from aifeature.spec import Feature, Limits

if TYPE_CHECKING:
    from django.contrib.auth.models import User

EVERYTHING = "_everything"
"""The control row whose kill switch stops every feature. No slug begins with an underscore."""

POLL_S = 0.5
"""Age in seconds at which a process reads the controls again."""

MEMBERS_S = 30.0
"""The same for who is in a group that has rates of its own."""


@dataclass(frozen=True, slots=True)
class Control:
    """The controls of one feature; the defaults are those of a feature nobody has opened."""

    stage: Stage = Stage.OFF
    percent: int = 0
    invited: frozenset[int] = field(default_factory=frozenset)
    killed: bool = False
    release_percent: int = 100
    prompt_version: str = ""
    daily_budget_usd: Decimal | None = None
    user_daily_budget_usd: Decimal | None = None
    monthly_budget_usd: Decimal | None = None
    requests_per_minute: Decimal | None = None
    tokens_per_minute: int | None = None
    user_in_flight: int | None = None
    deadline_s: int | None = None
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class Controls:
    """All control rows and overrides, as they were at one moment."""

    by_slug: Mapping[str, Control] = field(default_factory=dict)
    overrides: Mapping[int | None, tuple[Override, ...]] = field(default_factory=dict)
    """By user id; those of groups at None."""
    groups: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """By user id, of groups that have rates of their own."""

    def of(self, slug: str) -> Control:
        """The controls of a feature, or of EVERYTHING."""
        return self.by_slug.get(slug, Control())

    def overrides_of(self, user_id: int) -> tuple[Override, ...]:
        """The exceptions that may be about a user: their own, and those of groups."""
        return self.overrides.get(user_id, ()) + self.overrides.get(None, ())


class ControlCache:
    """All controls, at most half a second old, read by two queries however busy a process is.

    Who is in which group is read along, less often, and only while a group has rates of its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = self._members_at = float("-inf")
        self._controls = Controls()

    def get(self, slug: str) -> Control:
        """The controls of a feature, or of EVERYTHING."""
        return self.all().of(slug)

    def clear(self) -> None:
        """Read again at the next look."""
        with self._lock:
            self._read_at = self._members_at = float("-inf")

    def all(self) -> Controls:
        """All controls."""
        with self._lock:
            if self._clock() - self._read_at >= POLL_S:
                self._controls = self._fresh()
                self._read_at = self._clock()
            return self._controls

    def _fresh(self) -> Controls:
        controls = _read()
        if None not in controls.overrides:
            return controls
        if self._clock() - self._members_at < MEMBERS_S:
            return replace(controls, groups=self._controls.groups)
        self._members_at = self._clock()
        return replace(controls, groups=_members(controls.overrides[None]))


def _read() -> Controls:
    try:
        rows = FeatureControl.objects.prefetch_related("beta_users")
        alive = RateOverride.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
        by_user: dict[int | None, tuple[Override, ...]] = {}
        for row in alive:
            by_user[row.user_id] = (*by_user.get(row.user_id, ()), _override(row))
        return Controls({row.feature: _from_row(row) for row in rows}, by_user)
    finally:
        if not connection.in_atomic_block:
            connection.close()


def _members(overrides: Iterable[Override]) -> dict[int, frozenset[int]]:
    """Who is in these groups."""
    wanted = {each.group_id for each in overrides if each.group_id is not None}
    through = get_user_model().groups.through
    pairs = through.objects.filter(group_id__in=wanted).values_list("user_id", "group_id")
    found: dict[int, set[int]] = {}
    try:
        for user_id, group_id in pairs.iterator():
            found.setdefault(user_id, set()).add(group_id)
    finally:
        if not connection.in_atomic_block:
            connection.close()
    return {user_id: frozenset(groups) for user_id, groups in found.items()}


def _override(row: RateOverride) -> Override:
    return Override(
        user_id=row.user_id,
        group_id=row.group_id,
        feature=row.feature,
        rates=Rates(row.requests_per_minute, row.tokens_per_minute, row.in_flight),
        throttles=bool(row.check_name),
    )


def _from_row(row: FeatureControl) -> Control:
    return Control(
        stage=Stage(row.stage),
        percent=row.percent,
        invited=frozenset(user.pk for user in row.beta_users.all()),
        killed=row.killed,
        release_percent=row.release_percent,
        prompt_version=row.prompt_version,
        daily_budget_usd=row.daily_budget_usd,
        user_daily_budget_usd=row.user_daily_budget_usd,
        monthly_budget_usd=row.monthly_budget_usd,
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        user_in_flight=row.user_in_flight,
        deadline_s=row.deadline_s,
        retention_days=row.retention_days,
    )


cache = ControlCache()


def is_visible(feature: Feature, user: User) -> bool:
    """Whether the feature exists for this user."""
    control = cache.get(feature.slug)
    visitor = Visitor(user.pk, user.is_staff, user.pk in control.invited)
    return may_use(feature.slug, stage=control.stage, percent=control.percent, visitor=visitor)


def is_paused(slug: str, user_id: int) -> bool:
    """Whether a kill switch, the feature's or that of everything, stops this user's jobs."""
    controls = cache.all()
    each = ((name, controls.of(name)) for name in (slug, EVERYTHING))
    return any(
        control.killed or not is_released(name, user_id, percent=control.release_percent)
        for name, control in each
    )


def prompt_version(feature: Feature) -> str:
    """The version that answers now."""
    return cache.get(feature.slug).prompt_version or feature.prompt_version


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
    control, everything = cache.get(feature.slug), cache.get(EVERYTHING)
    return budget.caps(
        feature.limits,
        user_daily_usd=control.user_daily_budget_usd,
        daily_usd=control.daily_budget_usd,
        global_daily_usd=_or(everything.daily_budget_usd, "GLOBAL_DAILY_BUDGET_USD"),
        global_monthly_usd=_or(everything.monthly_budget_usd, "GLOBAL_MONTHLY_BUDGET_USD"),
    )


def feature_rates(feature: Feature) -> Rates:
    """The rates of a user of the feature for whom there is no exception."""
    control, limits = cache.get(feature.slug), feature.limits
    return Rates(
        control.requests_per_minute or limits.requests_per_minute,
        control.tokens_per_minute or limits.tokens_per_minute,
        control.user_in_flight or limits.user_in_flight,
    )


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
        slug: A feature's slug, or EVERYTHING.
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
        row.full_clean()
        _check_version(row)
        row.save()
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
    cache.clear()
    return row


def _check_version(row: FeatureControl) -> None:
    if row.prompt_version and row.prompt_version not in prompts.versions(row.feature):
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
