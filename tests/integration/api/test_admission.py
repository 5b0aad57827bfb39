"""Submissions are refused when a budget is spent or the queue is too long."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from aifeature.models import Attempt, FeatureControl, Job, SpendWindow, Worker
from aifeature.models.load import Ahead, Load
from aifeature.policies.overload import too_late_by_s, wait_s
from aifeature.policies.rates import RateLimitStatus
from aifeature.services import controls
from aifeature.services.controls import effective
from aifeature.services.jobs import admission
from aifeature.spec import Feature
from tests.integration.api.api_jobs import bearer, problem, submit

CALL = {
    "feature": "summarize",
    "epoch": 0,
    "number": 1,
    "purpose": "eval",
    "bound_micro": 1,
    "day": datetime.now(UTC).date(),
}
LATE = {"wait_reason": "provider_limited", "run_at": Now() + timedelta(seconds=400)}


@pytest.fixture
def client(ada: User, opened: None) -> Client:
    return bearer(ada)


def spent(scope: str, key: str, micro: int, **values: Any) -> None:
    day = datetime.now(UTC).date()
    values = {"day": day.replace(day=1) if scope == "month" else day, **values}
    SpendWindow.objects.create(scope=scope, key=key, spent_micro=micro, **values)


def set_control(slug: str, **values: Any) -> None:
    effective.change(slug, values, reason="test", check_name="test")


def refused_until(client: Client, day: date, status: int, code: str) -> str:
    """Check that a submission is refused until midnight of this day. Return the reason."""
    end, before = datetime.combine(day, time(), UTC), datetime.now(UTC)
    refused = submit(client)
    after, second = datetime.now(UTC), timedelta(seconds=1)
    wait = timedelta(seconds=int(refused["Retry-After"]))
    assert end - after - second <= wait <= end - before + second
    return str(problem(refused, status, code)["detail"])


def test_a_user_without_budget_reads_when_it_starts_again(client: Client, ada: User) -> None:
    spent("user", f"summarize:{ada.pk}", 10_000_000)
    spent("feature", "summarize", 1_000_000_000)  # the user's own budget is named first
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    reason = refused_until(client, tomorrow, 429, "budget_exhausted")
    assert f"on {tomorrow:%d %B} at 00:00 UTC" in reason
    assert not Job.objects.exists()


def test_only_the_spend_of_this_user_and_day_counts(client: Client, ada: User) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    spent("user", f"summarize:{ada.pk}", 9_999_999)
    spent("user", "summarize:999999", 10_000_000)
    spent("user", f"summarize:{ada.pk}", 10_000_000, day=yesterday)
    assert submit(client).status_code == 202


@pytest.mark.parametrize("scope", ["feature", "global", "month"])
def test_a_feature_without_budget_is_refused_for_its_window(client: Client, scope: str) -> None:
    set_control("summarize", daily_budget_usd=Decimal(1))
    set_control("_everything", daily_budget_usd=Decimal(1), monthly_budget_usd=Decimal(1))
    spent(scope, "summarize" if scope == "feature" else "", 1_000_000)
    today = datetime.now(UTC).date()
    next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    back = next_month if scope == "month" else today + timedelta(days=1)
    reason = refused_until(client, back, 503, "budget_reached")
    assert reason.startswith("This feature has reached its limit. It is back on ")


def test_the_global_cap_in_admin_overrides_the_environment(client: Client, settings: Any) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "GLOBAL_DAILY_BUDGET_USD": Decimal(1)}
    spent("global", "", 1_000_000)
    assert submit(client).status_code == 503
    set_control("_everything", daily_budget_usd=Decimal(2))
    assert submit(client).status_code == 202


def queue(*users: User, call_s: float, **call: Any) -> None:
    """Store eight threads, a call of this length, and a waiting job of each of these users."""
    Worker.objects.create(name="w", slots=8, seen_at=Now())
    Attempt.objects.create(
        **{**CALL, "state": "settled", "ended_at": Now(), "latency_ms": int(call_s * 1000), **call}
    )
    Job.objects.bulk_create(Job(**_of(user)) for user in users)
    admission.loads.clear()


def test_work_that_would_die_waiting_is_not_accepted(client: Client, ada: User, bob: User) -> None:
    queue(*[ada] * 60, *[bob] * 100, call_s=40)
    # 60 of mine and as many turns of bob's are ahead: 15 rounds of 40 s, of 300 s allowed.
    refused = submit(client)
    problem(refused, 503, "overloaded")
    assert 345 <= int(refused["Retry-After"]) <= 350
    assert Job.objects.count() == 160


def test_the_wait_has_an_upper_limit(client: Client, ada: User) -> None:
    queue(*[ada] * 300, call_s=40)
    assert submit(client)["Retry-After"] == "600"


@pytest.mark.parametrize(
    "call",
    [
        {"started_at": Now() - timedelta(minutes=11)},
        {"state": "unknown", "purpose": "generation"},
        {"state": "failed", "purpose": "generation"},
        {"purpose": "probe"},
    ],
    ids=str,
)
def test_old_and_failed_calls_do_not_count(client: Client, ada: User, call: dict[str, Any]) -> None:
    """Otherwise time-outs of an outage would refuse submissions for ten minutes after its end."""
    queue(*[ada] * 60, call_s=60, **call)
    assert submit(client).status_code == 202


def test_jobs_that_are_not_due_do_not_count_in_the_queue(client: Client, ada: User) -> None:
    queue(*[ada] * 60, call_s=40)
    Job.objects.update(run_at=Now() + timedelta(seconds=60))
    admission.loads.clear()
    assert submit(client).status_code == 202


def test_the_load_is_read_once_a_second(ada: User) -> None:
    now = [0.0]
    cache = admission.LoadCache(lambda: now[0])
    assert cache.get("summarize").jobs == 0
    queue(ada, call_s=1)
    assert cache.get("summarize").jobs == 0
    now[0] += admission.LOAD_S
    assert cache.get("summarize").jobs == 1


def test_the_queue_of_one_user_does_not_refuse_another(client: Client, bob: User) -> None:
    queue(*[bob] * 500, call_s=40)
    assert submit(client).status_code == 202, "one of bob's jobs runs before it"
    problem(submit(bearer(bob)), 503, "overloaded")


def test_a_budget_that_is_used_up_takes_none_of_the_users_requests(client: Client) -> None:
    set_control("summarize", daily_budget_usd=Decimal(1), requests_per_minute=Decimal(2))
    spent("feature", "summarize", 1_000_000)
    for _ in range(4):
        assert submit(client).status_code == 503
    assert "r=2;" in submit(client)["RateLimit"]


def test_a_stale_cache_accepts_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert submit(client).status_code == 202
    set_control("_everything", killed=True, kill_reason="An incident.")
    monkeypatch.setattr(controls, "is_paused", lambda *_: False)  # as half a second ago
    problem(submit(client), 503, "feature_paused")
    assert Job.objects.count() == 1


def test_a_late_switch_still_refuses(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement that stores the job checks the switch again."""
    set_control("summarize", requests_per_minute=Decimal(2))
    admit = admission.admit

    def then_pulled(feature: Feature, user_id: int) -> RateLimitStatus | None:
        left = admit(feature, user_id)
        FeatureControl.objects.update(killed=True)
        return left

    monkeypatch.setattr(admission, "admit", then_pulled)
    refused = submit(client)
    problem(refused, 503, "feature_paused")
    assert "r=2;" in refused["RateLimit"]
    assert not Job.objects.exists()


def test_jobs_that_a_switch_holds_do_not_count_in_the_queue(client: Client) -> None:
    many = User.objects.bulk_create(User(username=f"user{n}") for n in range(200))
    queue(call_s=40)
    Job.objects.bulk_create(Job(**{**_of(user), "feature": "triage"}) for user in many)
    admission.loads.clear()
    problem(submit(client), 503, "overloaded")
    FeatureControl.objects.create(feature="triage", killed=True)
    admission.loads.clear()
    assert submit(client).status_code == 202
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE aifeature_featurecontrol DISABLE TRIGGER release_guard")
        FeatureControl.objects.filter(feature="triage").update(killed=False, release_percent=0)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE aifeature_featurecontrol ENABLE TRIGGER release_guard")
    admission.loads.clear()
    assert submit(client).status_code == 202


def test_calls_under_way_do_not_hide_how_long_calls_take(client: Client, ada: User) -> None:
    queue(*[ada] * 200, call_s=40)
    Attempt.objects.bulk_create(Attempt(**CALL) for _ in range(210))
    admission.loads.clear()
    problem(submit(client), 503, "overloaded")


def test_the_concurrency_of_a_user_counts_in_the_estimate(client: Client, ada: User) -> None:
    """This user may use two of 200 threads."""
    queue(*[ada] * 40, call_s=20)
    Worker.objects.update(slots=200)
    set_control("summarize", user_in_flight=2)
    admission.loads.clear()
    problem(submit(client), 503, "overloaded")


def test_long_calls_of_another_feature_do_not_close_an_empty_queue(client: Client) -> None:
    queue(call_s=310, feature="triage")
    assert submit(client).status_code == 202


def test_a_single_late_booking_closes_nothing(client: Client, bob: User) -> None:
    queue(call_s=5)
    Job.objects.bulk_create(Job(**_of(bob), **LATE) for _ in range(19))
    admission.loads.clear()
    assert submit(client).status_code == 202
    Job.objects.create(**_of(bob), **LATE)
    admission.loads.clear()
    problem(submit(client), 503, "overloaded")


@pytest.mark.parametrize(
    "other", [{"feature": "triage"}, {"wait_reason": "provider_waiting"}], ids=str
)
def test_only_own_bookings_count(client: Client, bob: User, other: dict[str, str]) -> None:
    queue(call_s=5)
    Job.objects.bulk_create(Job(**{**_of(bob), **LATE, **other}) for _ in range(20))
    admission.loads.clear()
    assert submit(client).status_code == 202


def _of(user: User) -> dict[str, Any]:
    deadline = Now() + timedelta(hours=1)
    return {"user": user, "feature": "summarize", "input": {}, "deadline_at": deadline}


LOAD = Load(jobs=16, slots=8, call_s=10, own_call_s=20, booked_s=0)


@pytest.mark.parametrize(
    ("load", "ahead", "max_concurrency", "seconds"),
    [
        (LOAD, Ahead(16, own=0), None, 20),
        (LOAD, Ahead(16, own=6), 2, 60),
        (LOAD, Ahead(0, own=0), 2, 0),
        (replace(LOAD, call_s=None, own_call_s=None), Ahead(16, own=6), 2, 0),
        (replace(LOAD, booked_s=90), Ahead(16, own=0), None, 90),
    ],
)
def test_the_wait_is_the_longest_of_queue_own_jobs_and_bookings(
    load: Load, ahead: Ahead, max_concurrency: int | None, seconds: float
) -> None:
    assert wait_s(load, ahead, max_concurrency=max_concurrency) == seconds


def test_a_job_is_late_when_its_own_call_would_end_too_late() -> None:
    late = partial(too_late_by_s, LOAD, max_concurrency=None)
    assert late(Ahead(16, own=0), deadline_s=40) is None
    assert late(Ahead(16, own=0), deadline_s=39) == 1
    assert late(Ahead(0, own=0), deadline_s=5) is None, "it waits for nothing"
