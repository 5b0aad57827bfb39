"""The check that alerts on-call while a budget has no room for a typical call."""

from __future__ import annotations

from typing import Final

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Avg, Subquery

from aifeature import registry
from aifeature.models import EVALUATIONS_ACCOUNT, OF_USERS, Attempt, Job
from aifeature.money import cents
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.alerting.check_runs import Found
from aifeature.services.controls import GLOBAL

LEAST_MICRO: Final = 1
"""Micro-dollars needed while there are no earlier calls: every call costs something."""

LATEST: Final = 500
"""Calls of users, or jobs of evaluations, whose mean reservation is that of a typical call."""

EVALS: Final = "_evals"
"""Key of the window that pays for evaluations, as `aif_payer` in the database returns it."""


def check() -> Found:
    """Compare each cap of this day and month with its spend."""
    spent, next_call = _spent(), _usual_bounds()
    reached: list[str] = []
    features = registry.all_features()
    for slug, feature in features.items():
        needed = spent.get(slug, 0) + next_call.get(slug, LEAST_MICRO)
        _update_alert(slug, "day", needed, controls.caps(feature).feature, reached)
    known = [bound for slug, bound in next_call.items() if slug in features]
    least = min(known, default=LEAST_MICRO if features else 0)
    shared = controls.global_caps()
    _update_alert(GLOBAL, "day", spent.get("", 0) + least, shared.everything, reached)
    _update_alert(GLOBAL, "month", spent.get("month", 0) + least, shared.month, reached)
    _check_evaluations(spent.get(EVALS, 0), reached)
    if not reached:
        return Found(ok=True, result="No budget is used up.")
    return Found(ok=False, result=f"Used up: {', '.join(reached)}.")


def _update_alert(slug: str, period: str, needed: int, cap: int | None, reached: list[str]) -> None:
    """Open or close one alert. `needed` is the spend and a typical call's reservation."""
    effect = (
        f"Requests are refused until the next {period} in UTC. Raise the budget in admin to accept"
        " them."
    )
    _update(f"{slug} {period}", slug, effect, needed, cap, reached)


def _check_evaluations(spent: int, reached: list[str]) -> None:
    """Open or close the alert of the budget of evaluations. Without spend none is used up."""
    effect = (
        f"Runs of evaluations stop until the next day in UTC (spend window `feature {EVALS}`)."
        " Raise EVALS_DAILY_BUDGET_USD and restart the workers to resume them earlier."
    )
    needed = spent + _usual_bound_of_evaluations() if spent else 0
    cap = controls.evals_caps().feature
    _update(f"{EVALS} day", "evaluations", effect, needed, cap, reached)


def _update(
    subject: str, whose: str, effect: str, needed: int, cap: int | None, reached: list[str]
) -> None:
    if cap is None or needed <= cap:
        alerts.end("budget_reached", subject)
        return
    reached.append(subject)
    period = subject.rpartition(" ")[2]
    alerts.begin(
        "budget_reached",
        subject,
        f"The {period}'s budget of {whose}, {cents(cap)}, has no room for a typical call. {effect}",
        {"needed_micro": needed, "cap_micro": cap},
    )


def _spent() -> dict[str, int]:
    """Return micro-dollars: today's by feature, today's total at '', the month's at 'month'."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT CASE w.scope WHEN 'month' THEN 'month' ELSE w.key END, w.spent_micro
              FROM aifeature_spendwindow w,
                   (SELECT (statement_timestamp() AT TIME ZONE 'UTC')::date AS day) AS today
             WHERE w.scope IN ('feature', 'global') AND w.day = today.day
                OR w.scope = 'month' AND w.day = aif_month(today.day)"""
        )
        return dict(cursor.fetchall())


def _usual_bounds() -> dict[str, int]:
    """Return the mean reservation of each feature's latest calls of users in micro-dollars."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT t.feature, avg(t.bound_micro)::bigint
              FROM (SELECT a.feature, a.bound_micro FROM aifeature_attempt a
                     WHERE {OF_USERS} ORDER BY a.started_at DESC LIMIT {LATEST}) AS t
             GROUP BY t.feature"""  # noqa: S608 (constants)
        )
        return dict(cursor.fetchall())


def _usual_bound_of_evaluations() -> int:
    """Return the mean reservation of the calls of the latest evaluations in micro-dollars.

    By their account, which has an index. On a busy site most of a day's calls are of users.
    """
    users = get_user_model()
    account = users.objects.filter(**{users.USERNAME_FIELD: EVALUATIONS_ACCOUNT}).values("pk")
    jobs = Job.objects.of_all_origins().filter(user=Subquery(account))
    latest = jobs.order_by("-created_at", "-id").values("pk")[:LATEST]
    calls = Attempt.objects.of_all_origins().filter(job__in=latest, budget=EVALS)
    bound = calls.aggregate(micro=Avg("bound_micro"))["micro"]
    return round(bound) if bound else LEAST_MICRO
