"""The rate of a user, and the rate headers of every answer. The clock of Redis stands still."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from functools import partialmethod
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aifeature import registry
from aifeature.models import Job, RateOverride
from aifeature.services.controls import effective, rates
from aifeature.services.dispatch import publisher
from aifeature.services.provider import factory
from tests.integration.api.api_jobs import bearer, problem, submit
from workers.inference import shared_state
from workers.inference.token_bucket import RequestLimiter

SECOND = 1_000_000


NOW = 1_800_000_000 * SECOND


@pytest.fixture
def client(ada: User, opened: None, monkeypatch: pytest.MonkeyPatch) -> Client:
    for name in ("take", "give_back"):
        standing = partialmethod(getattr(RequestLimiter, name), now=NOW)
        monkeypatch.setattr(RequestLimiter, name, standing)
    rate(3)
    return bearer(ada)


def rate(per_minute: str | int) -> None:
    values = {"requests_per_minute": Decimal(per_minute)}
    effective.change("summarize", values, reason="test", check_name="test")


def override(**values: Any) -> None:
    RateOverride.objects.create(reason="test", **values)
    effective.cache.clear()


def left(response: Any) -> tuple[int, int, int, int]:
    """Limit, window, remaining, reset."""
    policy = re.fullmatch(r'"requests";q=(\d+);w=(\d+)', response["RateLimit-Policy"])
    state = re.fullmatch(r'"requests";r=(\d+);t=(\d+)', response["RateLimit"])
    assert policy is not None
    assert state is not None
    q, w, r, t = map(int, (*policy.groups(), *state.groups()))
    return q, w, r, t


def accepted(client: Client, tries: int) -> int:
    return sum(submit(client).status_code == 202 for _ in range(tries))


def test_a_user_who_sends_too_many_gets_retry_after(client: Client) -> None:
    assert accepted(client, 3) == 3
    refused = submit(client)
    said = problem(refused, 429, "rate_limited")
    assert refused["Retry-After"] == "20"
    assert "in 20 seconds" in said["detail"]
    assert Job.objects.count() == 3


def test_the_wait_is_right_to_the_second(client: Client, ada: User) -> None:
    limiter, now = factory.request_limiter(), NOW
    for _ in range(3):
        assert limiter.take(f"x:{ada.pk}", 3, now=now).allowed
    wait = limiter.take(f"x:{ada.pk}", 3, now=now).retry_after_s
    assert not limiter.take(f"x:{ada.pk}", 3, now=now + (wait - 1) * SECOND).allowed
    assert limiter.take(f"x:{ada.pk}", 3, now=now + wait * SECOND).allowed


def test_every_answer_shows_the_remaining_requests(client: Client) -> None:
    assert left(submit(client))[:3] == (3, 60, 2)
    assert left(client.post("/api/v1/features/summarize/jobs", "{", "application/json"))[2] == 2
    assert left(submit(client, {"input": {"document": ""}}))[2] == 2
    keyed = submit(client, idempotency_key="k")
    assert left(keyed)[2] == 1
    assert left(submit(client, idempotency_key="k"))[2] == 1, "a replay costs nothing"
    conflict = submit(client, {"input": {"document": "Other text."}}, idempotency_key="k")
    assert conflict.status_code == 409
    assert left(conflict)[2] == 1
    effective.change("summarize", {"killed": True}, reason="test", check_name="test")
    paused = submit(client)
    assert paused.status_code == 503
    assert left(paused)[2] == 1


def test_a_feature_that_does_not_exist_has_no_rate(client: Client) -> None:
    answer = client.post("/api/v1/features/none/jobs", {"input": {}}, "application/json")
    assert answer.status_code == 404
    assert not answer.has_header("RateLimit")


def test_rates_are_per_user_and_ignore_invalid_requests(client: Client, bob: User) -> None:
    for _ in range(5):
        assert submit(client, {"input": {"document": ""}}).status_code == 422
    assert accepted(client, 4) == 3
    assert accepted(bearer(bob), 4) == 3


def test_of_a_users_groups_the_most_generous_counts(client: Client, ada: User, bob: User) -> None:
    for name, per_minute in (("pilot", 4), ("partners", 6)):
        group = Group.objects.create(name=name)
        ada.groups.add(group)
        override(group=group, requests_per_minute=per_minute)
    assert accepted(client, 7) == 6
    assert accepted(bearer(bob), 4) == 3, "a user in no group has the feature's rate"


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        ([{"requests_per_minute": 5}], 5),
        ([{"requests_per_minute": 2}, {"requests_per_minute": 6, "group": "pilot"}], 2),
        ([{"requests_per_minute": 6}, {"requests_per_minute": 2, "feature": "summarize"}], 2),
        ([{"requests_per_minute": 6}, {"requests_per_minute": 1, "check_name": "spike"}], 1),
        ([{"requests_per_minute": 2}, {"requests_per_minute": 60, "check_name": "spike"}], 2),
        ([{"requests_per_minute": 9, "expires_at": Now() - timedelta(seconds=1)}], 3),
        ([{"requests_per_minute": 9, "feature": "triage"}], 3),
    ],
    ids=[
        *("a user's own rate", "it goes before a group's", "one feature before all features"),
        *(
            "a throttle before everything",
            "a throttle raises no rate",
            "it ends",
            "another feature",
        ),
    ],
)
def test_the_most_specific_rate_counts_and_a_throttle_only_lowers_it(
    client: Client, ada: User, overrides: list[dict[str, Any]], rate: int
) -> None:
    for values in overrides:
        owner: dict[str, Any] = {"user": ada}
        if "group" in values:
            owner = {"group": Group.objects.create(name=values["group"])}
            ada.groups.add(owner["group"])
        override(**{**values, **owner})
    assert accepted(client, rate + 1) == rate


def test_group_rates_cost_no_query(client: Client, ada: User, caches_stand_still: None) -> None:
    def queries() -> int:
        submit(client)  # the controls are read and remembered
        with CaptureQueriesContext(connection) as captured:
            assert submit(client).status_code == 202
        return len(captured)

    rate(100)
    without = queries()
    group = Group.objects.create(name="pilot")
    ada.groups.add(group)
    override(group=group, requests_per_minute=200)
    assert queries() == without
    assert left(submit(client))[0] == 200


def test_an_exception_raises_the_concurrency_of_a_user(client: Client, ada: User) -> None:
    effective.change("summarize", {"user_in_flight": 2}, reason="test", check_name="test")
    features = registry.all_features().items()
    most = {slug: feature.limits.user_in_flight for slug, feature in features} | {"summarize": 2}
    assert rates.max_concurrency() == most
    override(user=ada, in_flight=5)
    assert rates.max_concurrency() == most | {f"{slug}:{ada.pk}": 5 for slug in most}
    override(group=Group.objects.create(name="pilot"), in_flight=9)
    assert rates.max_concurrency()["summarize"] == 9


def test_a_rate_below_one_a_minute_has_a_longer_window(client: Client) -> None:
    rate("0.5")
    assert left(submit(client))[:3] == (1, 120, 0)
    assert submit(client)["Retry-After"] == "120"


def test_without_redis_a_process_admits_a_share(
    client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    factory.shared_state.cache_clear()
    factory.request_limiter.cache_clear()
    assert accepted(client, 4) == 1


def test_an_outage_is_remembered(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "PAUSE_S", 600.0)  # longer than any submission takes
    assert publisher.can_publish()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    factory.shared_state.cache_clear()
    factory.request_limiter.cache_clear()
    assert submit(client).status_code == 202
    assert not publisher.can_publish()
    assert Job.objects.get().published_at is None
