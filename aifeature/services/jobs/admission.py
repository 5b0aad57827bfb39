"""May this user submit another job now: their rate, the budgets, and the load.

What is refused here costs the user a wait; what is accepted will be worked on in time.
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
"""How long a look at the load counts."""

LONGEST_RETRY_S: Final = 600
"""What an overloaded client is asked to wait at most: an estimate is no better than that."""

NO_WORKER_RETRY_S: Final = 60
"""What a client is asked to wait while no worker is there: about as long as starting one takes."""

_NEVER: Final = (float("-inf"), None)


class LoadCache:
    """The load as each feature finds it, at most a second old."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._looked: dict[str, tuple[float, Load]] = {}

    def get(self, slug: str) -> Load:
        """The load."""
        at, found = self._looked.get(slug, _NEVER)
        if found is not None and self._clock() - at < LOAD_S:
            return found
        with connected(), self._lock:
            at, found = self._looked.get(slug, _NEVER)
            if found is None or self._clock() - at >= LOAD_S:
                found = load(slug)
                self._looked[slug] = (self._clock(), found)
            return found

    def clear(self) -> None:
        """Look again at the next question."""
        with self._lock:
            self._looked.clear()


loads: Final = LoadCache()


def admit(feature: Feature, user_id: int) -> RateLimitStatus | None:
    """Take one of the user's requests, if there is room for what comes of it.

    Returns:
        What is left of their requests; None: nothing limits them.

    Raises:
        RateLimited: they sent too many within a minute.
        BudgetExhausted: their own budget of the day is used up.
        BudgetReached: that of the feature, or of everything, is.
        NoWorker: no worker has been there for a minute.
        Overloaded: the job would miss its deadline.
    """
    left = _take(feature, user_id)
    try:
        _check_windows(feature, user_id)
        _check_load(feature, user_id)
    except Refusal:
        give_back(feature, user_id)  # it is not the user who sends too much
        raise
    return left


def why_not(feature: Feature, user_id: int) -> Refusal | None:
    """Why a job of this user would not be accepted now, besides their rate; None: it would be.

    No request is taken, so that a page can tell it before anybody has typed.
    """
    try:
        _check_windows(feature, user_id)
        _check_load(feature, user_id)
    except Refusal as refusal:
        return refusal
    return None


def left_of(feature: Feature, user_id: int) -> RateLimitStatus | None:
    """What is left of the user's requests, without taking one; None: nothing limits them."""
    found = _ask(feature, user_id, amount=0)
    return found and found[1]


def _take(feature: Feature, user_id: int) -> RateLimitStatus | None:
    found = _ask(feature, user_id, amount=1)
    if found is None:
        return None
    taken, left = found
    if not taken.allowed:
        raise RateLimited(
            "You have sent too many requests within a short time."
            f" Please try again in {_seconds(taken.retry_after_s)}.",
            retry_after_s=taken.retry_after_s,
            left=left,
        )
    return left


def give_back(feature: Feature, user_id: int) -> None:
    """Uncount a request that came to nothing by no fault of the user."""
    per_minute = rates.of(feature, user_id).requests_per_minute
    if per_minute is not None:
        provider.request_limiter().give_back(f"{feature.slug}:{user_id}", per_minute)


def _ask(
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
    now, spent = _spent(feature, user_id)
    full = [scope for scope, cap in limits.items() if cap is not None and spent[scope] >= cap]
    if not full:
        return
    scope = full[0]
    reset = budget.starts_anew(scope, now)
    wait = math.ceil((reset - now).total_seconds())
    if scope in budget.SPENT_BY_USER:
        raise BudgetExhausted(FAILED[budget.SPENT_BY_USER[scope]], retry_after_s=wait)
    if scope == "user":
        raise BudgetExhausted(
            "You have used up your budget for this feature."
            f" It starts anew on {reset:%d %B} at {reset:%H:%M} UTC.",
            retry_after_s=wait,
        )
    raise BudgetReached(
        f"This feature has reached its limit. It is back on {reset:%d %B} at {reset:%H:%M} UTC.",
        retry_after_s=wait,
    )


def _spent(feature: Feature, user_id: int) -> tuple[datetime, dict[str, int]]:
    """The database's time, and what counts against each cap, in micro-dollars: one query."""
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
    spent = dict.fromkeys((*SpendWindow.Scope.values, "user_spend"), 0)
    for _, scope, micro, own in found:
        match scope:
            case "user":
                spent["user"], spent["user_spend"] = micro, own
            case "account":  # its cap is on spend alone
                spent["account"] = own
            case str():
                spent[scope] = micro
    return found[0][0], spent


def _check_load(feature: Feature, user_id: int) -> None:
    deadline, max_concurrency = controls.deadline_s(feature), rates.of(feature, user_id).in_flight
    now = loads.get(feature.slug)
    if now.away_s is not None and now.away_s > queues.AWAY_S:
        raise NoWorker(
            "The service is temporarily unavailable. Please try again in a few minutes.",
            retry_after_s=NO_WORKER_RETRY_S,
        )
    # Nobody has more ahead than all there are: mostly that is enough to know.
    most = Ahead(now.jobs, own=now.jobs)
    if too_late_by_s(now, most, max_concurrency=max_concurrency, deadline_s=deadline) is None:
        return
    ahead = ahead_of(feature.slug, user_id)
    late = too_late_by_s(now, ahead, max_concurrency=max_concurrency, deadline_s=deadline)
    if late is not None:
        wait = min(LONGEST_RETRY_S, math.ceil(late))
        raise Overloaded(
            "So many requests are waiting that yours would not be answered in time."
            f" Please try again in {_seconds(wait)}.",
            retry_after_s=wait,
        )


def _seconds(count: int) -> str:
    return "a second" if count == 1 else f"{count} seconds"
