"""Cache of all controls in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q
from django.db.models.functions import Now

from aifeature.models import AccessBlock, FeatureControl, KillMode, RateOverride, Stage
from aifeature.models.functions import connected
from aifeature.policies.rates import Override, Rates
from aifeature.services.controls import live, open_canary
from aifeature.services.controls.live import LivePrompt
from aifeature.services.controls.open_canary import OpenCanary

GLOBAL = "_everything"
"""The control row for all features together. No slug begins with an underscore."""

POLL_S = 0.5
"""Age in seconds at which a process reads the controls again."""

MEMBERS_S = 30.0
"""Age in seconds at which it reads the members of groups with their own rates again."""


@dataclass(frozen=True, slots=True)
class Control:
    """Controls of one feature. The defaults apply to a feature without a control row."""

    stage: Stage = Stage.OFF
    percent: int = 0
    seed: str = ""
    """Empty: the feature."""
    holdout_percent: int = 0
    beta_cap: int = 0
    invited: frozenset[int] = field(default_factory=frozenset)
    killed: bool = False
    kill_mode: KillMode = KillMode.HOLD
    release_percent: int = 100
    prompt_version: str = ""
    live: tuple[LivePrompt, ...] = ()
    """The prompts that may be live, the preferred one first."""
    canary: OpenCanary | None = None
    daily_budget_usd: Decimal | None = None
    user_daily_budget_usd: Decimal | None = None
    user_daily_spend_usd: Decimal | None = None
    monthly_budget_usd: Decimal | None = None
    requests_per_minute: Decimal | None = None
    tokens_per_minute: int | None = None
    user_in_flight: int | None = None
    deadline_s: int | None = None
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class Controls:
    """All control rows, rate overrides and blocks."""

    by_slug: Mapping[str, Control] = field(default_factory=dict)
    overrides: Mapping[int | None, tuple[Override, ...]] = field(default_factory=dict)
    """By user id. The key None holds those of groups."""
    groups: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Ids of the groups with their own rates, by user id."""
    blocks: Mapping[int, tuple[AccessBlock, ...]] = field(default_factory=dict)
    """Unexpired blocks by user id."""

    def of(self, slug: str) -> Control:
        """Return the controls of a feature, or of GLOBAL."""
        return self.by_slug.get(slug, Control())

    def overrides_of(self, user_id: int) -> tuple[Override, ...]:
        """Return the user's own overrides and those of all groups."""
        return self.overrides.get(user_id, ()) + self.overrides.get(None, ())


class ControlCache:
    """All controls. A refresh takes three queries, at most once per POLL_S in each process.

    Their age counts from before the queries: an answer may arrive long after the database read the
    rows, such as when its network was away.

    Group members are read at most every MEMBERS_S, and only while a group has its own rates.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = self._members_at = float("-inf")
        self._controls = Controls()

    def get(self, slug: str) -> Control:
        return self.all().of(slug)

    def clear(self) -> None:
        """Read again on the next access."""
        with self._lock:
            self._read_at = self._members_at = float("-inf")

    def all(self) -> Controls:
        wanted_at = self._clock()
        if self._is_old(wanted_at):
            with connected(), self._lock:
                if self._is_old(wanted_at):
                    began = self._clock()
                    self._controls = self._fresh()
                    self._read_at = began
        return self._controls

    def _is_old(self, wanted_at: float) -> bool:
        return wanted_at - self._read_at >= POLL_S

    def _fresh(self) -> Controls:
        controls = _read()
        if None not in controls.overrides:
            return controls
        cached = _groups(self._controls.overrides.get(None, ()))
        fresh = self._clock() - self._members_at < MEMBERS_S
        if fresh and _groups(controls.overrides[None]) <= cached:
            return replace(controls, groups=self._controls.groups)
        self._members_at = self._clock()
        return replace(controls, groups=_members(controls.overrides[None]))


def _read() -> Controls:
    users = get_user_model()._meta.model_name or ""  # noqa: SLF001 (Django documents it)
    lists = FeatureControl.beta_users.through.objects.filter(featurecontrol=OuterRef("pk"))
    rows = FeatureControl.objects.annotate(
        live=live.activations(),
        canary_steps=open_canary.steps(),
        invited=ArraySubquery(lists.values(users)),
    )
    unexpired = RateOverride.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
    by_user: dict[int | None, tuple[Override, ...]] = {}
    for row in unexpired:
        by_user[row.user_id] = (*by_user.get(row.user_id, ()), _override(row))
    blocks: dict[int, tuple[AccessBlock, ...]] = {}
    for block in AccessBlock.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now())):
        blocks[block.user_id] = (*blocks.get(block.user_id, ()), block)
    return Controls({row.feature: _from_row(row) for row in rows}, by_user, blocks=blocks)


def _members(overrides: Iterable[Override]) -> dict[int, frozenset[int]]:
    """Return the ids of these groups by the user id of each member."""
    wanted = _groups(overrides)
    through = get_user_model().groups.through
    pairs = through.objects.filter(group_id__in=wanted).values_list("user_id", "group_id")
    by_user: dict[int, set[int]] = {}
    for user_id, group_id in pairs.iterator():
        by_user.setdefault(user_id, set()).add(group_id)
    return {user_id: frozenset(groups) for user_id, groups in by_user.items()}


def _groups(overrides: Iterable[Override]) -> set[int]:
    return {each.group_id for each in overrides if each.group_id is not None}


def _override(row: RateOverride) -> Override:
    return Override(
        user_id=row.user_id,
        group_id=row.group_id,
        feature=row.feature,
        rates=Rates(row.requests_per_minute, row.tokens_per_minute, row.in_flight),
        throttles=bool(row.check_name),
        check_name=row.check_name,
        expires_at=row.expires_at and row.expires_at.astimezone(UTC),
    )


def _from_row(row: Any) -> Control:
    return Control(
        stage=row.known_stage,
        percent=row.percent,
        seed="" if row.seed == row.feature else row.seed,
        holdout_percent=row.holdout_percent,
        beta_cap=row.beta_cap,
        invited=frozenset(row.invited),
        killed=row.killed,
        kill_mode=row.known_kill_mode,
        release_percent=row.release_percent,
        prompt_version=row.prompt_version,
        live=live.preferred(row.live),
        canary=open_canary.from_steps(row.canary_steps),
        daily_budget_usd=row.daily_budget_usd,
        user_daily_budget_usd=row.user_daily_budget_usd,
        user_daily_spend_usd=row.user_daily_spend_usd,
        monthly_budget_usd=row.monthly_budget_usd,
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        user_in_flight=row.user_in_flight,
        deadline_s=row.deadline_s,
        retention_days=row.retention_days,
    )


cache = ControlCache()


def clear_cache() -> None:
    cache.clear()
