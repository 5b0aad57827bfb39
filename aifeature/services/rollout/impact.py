"""The blast radius of a change: users, jobs and projected spend, now and afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import Error, connection, transaction

from aifeature import registry
from aifeature.models import FeatureControl, Job, Stage, Status, switches
from aifeature.money import MICRO_PER_USD, cents, rounded, to_micro
from aifeature.policies.projection import Projection
from aifeature.services import access, controls
from aifeature.services.controls import GLOBAL
from aifeature.services.rollout import spend_history

logger = logging.getLogger(__name__)

LONGEST_MS: Final = 2_000
"""Time that one query may take. A dialog must open even if the figures cannot be read."""

UNKNOWN: Final = "The users, jobs and spend that this affects cannot be read now."


@dataclass(frozen=True, slots=True)
class Impact:
    users: int | None
    """Active users who may use the feature after the change; None if it cannot be read."""
    users_now: int | None = None
    total: int | None = None
    """All active users."""
    queued: int = 0
    running: int = 0
    spend_per_day_micro: Projection | None = None
    """Expected spend of a day; None if it is unknown."""
    budget_micro: int | None = None
    """The feature's daily budget after the change; None is no cap."""
    sentence: str = UNKNOWN
    warning: str = ""
    """A sentence if the spend may exceed the budget."""

    @property
    def reach(self) -> str:
        """The users and the spend in short: `3,120 of 41,000 users, $12 a day (5 to 31)`."""
        if self.users is None or self.total is None:
            return "users that cannot be counted now"
        users = f"{self.users:,} of {_count(self.total, 'user', 'users')}"
        return f"{users}, {_short(self.spend_per_day_micro)}"

    @property
    def around(self) -> str:
        """The jobs and the budget, which are the same for each step of a ramp."""
        if self.users is None:
            return UNKNOWN
        now = "" if self.users_now is None else f"Now {_count(self.users_now, 'user', 'users')}. "
        return f"{now}{_of_jobs(self)}, with {_of_budget(self.budget_micro)}."


def of(
    slug: str,
    *,
    stage: Stage | None = None,
    percent: int | None = None,
    holdout_percent: int | None = None,
    limits: Mapping[str, Any] | None = None,
    arm_percent: int | None = None,
    invited: Iterable[int] | None = None,
    groups: Iterable[int] | None = None,
    released_percent: int | None = None,
) -> Impact:
    """Return what a change of a feature, or of GLOBAL, affects. None keeps a present value.

    It never raises: without the database's figures, the sentence states that.

    Args:
        slug: A feature, or GLOBAL.
        stage: The stage after the change.
        percent: The percentage after it.
        holdout_percent: The hold-out after it.
        limits: New limits by field: `daily_budget_usd`, `user_daily_spend_usd`, `beta_cap`.
        arm_percent: Share of these users who get a candidate.
        invited: Ids of the invited users after it.
        groups: Ids of the beta's groups after it.
        released_percent: Share of users with a released kill switch after it; 0 stops all.

    Example:
        >>> of("summarize", percent=10).sentence  # doctest: +SKIP
        '3,120 of 41,000 users may use it after this (now 1,560). 4 jobs wait, 2 run. ...'
    """
    try:
        with transaction.atomic(), _in_time():
            return _read(
                slug,
                _Change(
                    stage=stage,
                    percent=percent,
                    holdout_percent=holdout_percent,
                    limits=limits or {},
                    arm_percent=arm_percent,
                    invited=None if invited is None else frozenset(invited),
                    groups=None if groups is None else frozenset(groups),
                    released_percent=released_percent,
                ),
            )
    except Error:
        logger.warning("the blast radius of a change of %s cannot be read", slug)
        return Impact(None)


def of_members(slug: str, *, user_id: int | None, group_id: int | None) -> Impact:
    """Return what a change of limits of a user, or of the members of a group, affects."""
    try:
        with transaction.atomic(), _in_time():
            active = get_user_model().objects.filter(is_active=True)
            users = active.filter(pk=user_id) if user_id else active.filter(groups=group_id)
            count, jobs = users.count(), _jobs(slug, of_switch=False)
    except Error:
        logger.warning("the blast radius of a change of %s cannot be read", slug)
        return Impact(None)
    of_all = "all features" if slug == GLOBAL else "the feature"
    sentence = (
        f"It applies to {_count(count, 'user', 'users')}. Of all users of {of_all},"
        f" {_of_jobs(jobs)}."
    )
    return Impact(
        users=count, users_now=count, queued=jobs.queued, running=jobs.running, sentence=sentence
    )


@dataclass(frozen=True, slots=True)
class _Change:
    stage: Stage | None
    percent: int | None
    holdout_percent: int | None
    limits: Mapping[str, Any]
    arm_percent: int | None
    invited: frozenset[int] | None
    groups: frozenset[int] | None
    released_percent: int | None


def _read(slug: str, change: _Change) -> Impact:
    total = access.total()
    control = FeatureControl.objects.filter(feature=slug).first() or FeatureControl(feature=slug)
    jobs = _jobs(slug, of_switch=change.released_percent is not None)
    is_held = control.killed and change.released_percent is None
    now = 100 if is_held else 0 if control.killed else control.release_percent
    after = now if change.released_percent is None else change.released_percent
    admitted_now, admitted = _users(slug, change, total)
    users_now, users = _share(admitted_now, now), _share(admitted, after)
    spend = _spend(slug, admitted_now, users, change)
    budget = _budget(slug, control, change.limits)
    words = [
        _of_users(users, users_now, total, is_exact=after in {0, 100} and now in {0, 100}),
        *(["Its kill switch is on: no user may use it until a release."] if is_held else []),
        *_of_places(slug, control, change),
        *_of_arm(users, change.arm_percent),
        f"{_of_jobs(jobs)}.",
        _of_spend(spend, budget),
    ]
    return Impact(
        users=users,
        users_now=users_now,
        total=total,
        queued=jobs.queued,
        running=jobs.running,
        spend_per_day_micro=spend,
        budget_micro=budget,
        sentence=" ".join(words),
        warning=_warning(spend, budget),
    )


def _jobs(slug: str, *, of_switch: bool) -> switches.WouldStop:
    """Return the open jobs that a change affects: those of users. A switch stops all others too."""
    if of_switch:
        return switches.would_stop(slug)
    jobs = Job.objects.of_users()
    of_feature = jobs if slug == GLOBAL else jobs.filter(feature=slug)
    running, queued = (  # two queries, since each state has an index of its own
        of_feature.filter(status=status).count() for status in (Status.RUNNING, Status.QUEUED)
    )
    return switches.WouldStop(running=running, queued=queued, held_micro=0)


def _spend(slug: str, users_now: int, users: int, change: _Change) -> Projection | None:
    """Return the projection. It needs no query if no user may use the feature afterwards."""
    if users == 0:
        return Projection(0, 0, 0)
    if slug == GLOBAL:
        return None
    cap = to_micro(change.limits.get("user_daily_spend_usd"))
    try:
        with transaction.atomic():  # without it, the users and jobs are still shown
            return spend_history.project(
                slug, users_now=users_now, users_after=users, cap_micro=cap
            )
    except Error:
        logger.warning("the spend of a change of %s cannot be projected", slug)
        return None


def _users(slug: str, change: _Change, total: int) -> tuple[int, int]:
    """Return the number of users that the stage admits now, and after the change."""
    if slug == GLOBAL:
        return total, total
    now = access.audience(slug)
    if change.invited is None and change.groups is None:
        values = (change.stage, change.percent, change.holdout_percent)
        return now, now if values == (None, None, None) else _audience(slug, change)
    with _as_if(slug, change):
        return now, _audience(slug, change)


def _audience(slug: str, change: _Change) -> int:
    return access.audience(
        slug, stage=change.stage, percent=change.percent, holdout_percent=change.holdout_percent
    )


@contextmanager
def _as_if(slug: str, change: _Change) -> Iterator[None]:
    """Invite these users and groups, and take it back at the end of the block."""
    savepoint = transaction.savepoint()
    try:
        row = FeatureControl.objects.get_or_create(feature=slug)[0]
        if change.invited is not None:
            row.beta_users.set(change.invited)
        if change.groups is not None:
            row.beta_groups.set(change.groups)
        yield
    finally:
        transaction.savepoint_rollback(savepoint)


@contextmanager
def _in_time() -> Iterator[None]:
    """Limit the time of each statement in the block."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{LONGEST_MS}ms"])
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])


def _budget(slug: str, control: FeatureControl, limits: Mapping[str, Any]) -> int | None:
    """Return the daily budget in micro-dollars: the new one, the operator's, or the code's."""
    if slug == GLOBAL:
        new = limits.get("daily_budget_usd")
        return to_micro(controls.global_daily().usd if new is None else new)
    feature = registry.find(slug)
    usd: Decimal | None = limits.get("daily_budget_usd", control.daily_budget_usd)
    if usd is None and feature is not None:
        usd = feature.limits.daily_budget_usd
    return to_micro(usd)


def _share(users: int, percent: int) -> int:
    return round(users * percent / 100)


def _of_users(users: int, users_now: int, total: int, *, is_exact: bool) -> str:
    about = "" if is_exact else "About "
    many = _count(total, "user", "users")
    return f"{about}{users:,} of {many} may use it after this (now {users_now:,})."


def _of_jobs(jobs: switches.WouldStop | Impact) -> str:
    waiting = _count(jobs.queued, "job waits", "jobs wait")
    return f"{waiting}, {_count(jobs.running, 'runs', 'run')}"


def _of_places(slug: str, control: FeatureControl, change: _Change) -> list[str]:
    changes = change.stage is not None or "beta_cap" in change.limits
    places = change.limits.get("beta_cap", control.beta_cap)
    left = access.beta.places_left(slug, change.stage or control.known_stage, places)
    return [f"Up to {left:,} more may join its beta by themselves."] if left and changes else []


def _of_arm(users: int, percent: int | None) -> list[str]:
    if percent is None:
        return []
    return [f"About {_share(users, percent):,} of them get the candidate ({percent} %)."]


def _of_spend(spend: Projection | None, budget: int | None) -> str:
    cap = _of_budget(budget)
    if spend is None:
        least = "there are too few users or days with spend for an estimate"
        return f"Expected spend: unknown, since {least}. It has {cap}."
    return f"Expected spend: {_short(spend)}, with {cap}."


def _short(spend: Projection | None) -> str:
    if spend is None:
        return "spend unknown"
    if spend.high == 0:
        return "none"
    return f"{_usd(spend.mid)} a day ({_plain(spend.low)} to {_plain(spend.high)})"


def _of_budget(budget: int | None) -> str:
    return "no daily budget" if budget is None else f"a daily budget of {_cap(budget)}"


def _warning(spend: Projection | None, budget: int | None) -> str:
    if spend is None or budget is None or spend.high <= budget:
        return ""
    return (
        f"The spend of a day may exceed the daily budget of {_cap(budget)}: up to"
        f" {_usd(spend.high)} is possible. When it is used up, jobs fail until the next day."
    )


def _cap(micro: int) -> str:
    return cents(micro).removesuffix(".00")


def _usd(micro: int) -> str:
    return f"${_plain(micro)}"


def _plain(micro: int) -> str:
    """Return dollars without cents from ten dollars on."""
    return f"{rounded(micro, places=0 if micro >= 10 * MICRO_PER_USD else 2):,}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
