"""Admission of new jobs by the user's rate, the budgets and the load.

Rejected requests may be retried; accepted ones are expected to start before their deadline.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from django.db import connection

from aifeature.models import SpendWindow
from aifeature.models.functions import connected
from aifeature.models.load import Ahead, Load, ahead_of, load
from aifeature.policies import budget
from aifeature.policies.overload import too_late_by_s
from aifeature.policies.rates import RateLimitStatus
from aifeature.services import controls, provider
from aifeature.services.controls import rates
from aifeature.services.jobs.refusals import (
    BudgetExhausted,
    BudgetReached,
    NoWorker,
    Overloaded,
    RateLimited,
    Refusal,
)
from aifeature.services.texts import FAILED
from aifeature.services.watch import queues
from aifeature.spec import Feature
from workers.inference.token_bucket import RateLimitResult

LOAD_S: Final = 1.0
"""Seconds for which a load measurement is cached."""

LONGEST_RETRY_S: Final = 600
"""Longest retry delay in seconds after an overload. Longer estimates are unreliable."""

NO_WORKER_RETRY_S: Final = 60
"""Retry delay in seconds while no worker is running: about the time to start one."""

_NEVER: Final = (float("-inf"), None)


class LoadCache:
    """The load per feature, cached for a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: dict[str, tuple[float, Load]] = {}

    def get(self, slug: str) -> Load:
        wanted_at = self._clock()
        cached_at, cached = self._cached.get(slug, _NEVER)
        if cached is not None and wanted_at - cached_at < LOAD_S:
            return cached
        with connected(), self._lock:
            cached_at, cached = self._cached.get(slug, _NEVER)
            if cached is None or wanted_at - cached_at >= LOAD_S:
                began = self._clock()  # the answer may arrive long after the reading
                cached = load(slug)
                self._cached[slug] = (began, cached)
            return cached

    def clear(self) -> None:
        with self._lock:
            self._cached.clear()


loads: Final = LoadCache()


def admit(feature: Feature, user_id: int) -> RateLimitStatus | None:
    """Take one request from the user's bucket if a job can be accepted.

    Returns the rate limit status; None: the user has no rate limit.

    Raises:
        RateLimited: the user sent too many requests within a minute.
        BudgetExhausted: the user's budget for the day is spent.
        BudgetReached: the budget of the feature or the global budget is spent.
        NoWorker: no worker has been running for a minute.
        Overloaded: the job would miss its deadline.
    """
    left = _take_or_refuse(feature, user_id)
    try:
        _check_windows(feature, user_id)
        _check_load(feature, user_id)
    except Refusal:
        give_back(feature, user_id)  # the user did not cause this refusal
        raise
    return left


def refusal_for(feature: Feature, user_id: int) -> Refusal | None:
    """Return why a job would be refused now, apart from the rate limit; None: it would not be.

    Takes no request, so a page can show the reason before the user types.
    """
    try:
        _check_windows(feature, user_id)
        _check_load(feature, user_id)
    except Refusal as refusal:
        return refusal
    return None


def rate_limit_status(feature: Feature, user_id: int) -> RateLimitStatus | None:
    """Return the user's rate limit status without taking a request; None: there is no limit."""
    found = _take_requests(feature, user_id, amount=0)
    return found and found[1]


def _take_or_refuse(feature: Feature, user_id: int) -> RateLimitStatus | None:
    found = _take_requests(feature, user_id, amount=1)
    if found is None:
        return None
    taken, left = found
    if not taken.allowed:
        again = f"Please try again in {_seconds(taken.retry_after_s)}."
        why = controls.throttles.notices(user_id, feature.slug)
        raise RateLimited(
            " ".join(["You have sent too many requests within a short time.", again, *why]),
            retry_after_s=taken.retry_after_s,
            left=left,
        )
    return left


def give_back(feature: Feature, user_id: int) -> None:
    """Return a request to the user's bucket after a refusal that the user did not cause."""
    per_minute = rates.of(feature, user_id).requests_per_minute
    if per_minute is not None:
        provider.request_limiter().give_back(f"{feature.slug}:{user_id}", per_minute)


def _take_requests(
    feature: Feature, user_id: int, *, amount: int
) -> tuple[RateLimitResult, RateLimitStatus] | None:
    per_minute = rates.of(feature, user_id).requests_per_minute
    if per_minute is None:
        return None
    key = f"{feature.slug}:{user_id}"
    taken = provider.request_limiter().take(key, per_minute, amount=amount)
    return taken, RateLimitStatus.of(per_minute, remaining=taken.remaining, reset_s=taken.reset_s)


def _check_windows(feature: Feature, user_id: int) -> None:
    caps = controls.caps(feature)
    limits = {
        "user": caps.user,
        "user_spend": caps.user_spend,
        "account": caps.account,
        "feature": caps.feature,
        "global": caps.everything,
        "month": caps.month,
    }
    now, counted = spent(feature, user_id)
    full = [scope for scope, cap in limits.items() if cap is not None and counted[scope] >= cap]
    if not full:
        return
    scope = full[0]
    reset = budget.resets_at(scope, now)
    wait = math.ceil((reset - now).total_seconds())
    if scope in budget.SPENT_BY_USER:
        raise BudgetExhausted(FAILED[budget.SPENT_BY_USER[scope]], retry_after_s=wait)
    if scope == "user":
        raise BudgetExhausted(
            "You have used up your budget for this feature."
            f" It resets on {reset:%d %B} at {reset:%H:%M} UTC.",
            retry_after_s=wait,
        )
    raise BudgetReached(
        f"This feature has reached its limit. It is back on {reset:%d %B} at {reset:%H:%M} UTC.",
        retry_after_s=wait,
    )


def spent(feature: Feature, user_id: int) -> tuple[datetime, dict[str, int]]:
    """Return the database's time and the micro-dollars that count against each cap."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT statement_timestamp(), w.scope, w.spent_micro, w.own_spend_micro
              FROM (SELECT (statement_timestamp() AT TIME ZONE 'UTC')::date AS day) AS today
              LEFT JOIN aifeature_spendwindow w
                ON (w.scope, w.key, w.day) IN (
                   ('user', %s, today.day), ('account', %s, today.day),
                   ('feature', %s, today.day), ('global', '', today.day),
                   ('month', '', aif_month(today.day)))""",
            [f"{feature.slug}:{user_id}", str(user_id), feature.slug],
        )
        found = cursor.fetchall()
    counted = dict.fromkeys((*SpendWindow.Scope.values, "user_spend"), 0)
    for _, scope, micro, own in found:
        match scope:
            case "user":
                counted["user"], counted["user_spend"] = micro, own
            case "account":  # this cap limits own spend only
                counted["account"] = own
            case str():
                counted[scope] = micro
    return found[0][0], counted


def _check_load(feature: Feature, user_id: int) -> None:
    deadline, max_concurrency = controls.deadline_s(feature), rates.of(feature, user_id).in_flight
    now = loads.get(feature.slug)
    if now.away_s is not None and now.away_s > queues.AWAY_S:
        raise NoWorker(
            "The service is temporarily unavailable. Please try again in a few minutes.",
            retry_after_s=NO_WORKER_RETRY_S,
        )
    # First assume that all waiting jobs are ahead. Usually this avoids the second query.
    most = Ahead(now.jobs, own=now.jobs)
    if too_late_by_s(now, most, max_concurrency=max_concurrency, deadline_s=deadline) is None:
        return
    ahead = ahead_of(feature.slug, user_id)
    late = too_late_by_s(now, ahead, max_concurrency=max_concurrency, deadline_s=deadline)
    if late is not None:
        wait = min(LONGEST_RETRY_S, math.ceil(late))
        raise Overloaded(
            "Too many requests are waiting, so yours would not be answered in time."
            f" Please try again in {_seconds(wait)}.",
            retry_after_s=wait,
        )


def _seconds(count: int) -> str:
    return "a second" if count == 1 else f"{count} seconds"
