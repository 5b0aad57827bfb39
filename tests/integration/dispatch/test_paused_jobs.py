"""A long queue behind a breaker goes on in parts soon after it closes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import Forced, ProviderAccount
from aifeature.reasons import WaitReason
from aifeature.services.controls import breakers
from aifeature.services.dispatch import paused_jobs
from aifeature.services.dispatch.paused_jobs import PausedJobs
from aifeature.services.provider import account, factory
from tests.integration.clock import Clock, clock
from tests.integration.conftest import empty_gates
from tests.integration.execution.test_gated import (
    HAIKU,
    SONNET,
    open_breaker,
    set_probe_time,
    waits,
)
from tests.integration.job_rows import MakeJob
from workers.inference.shared_state import RedisUnavailable, SharedState

pytestmark = pytest.mark.usefixtures("committed")

__all__ = ["clock"]


@pytest.fixture
def paused(clock: Clock) -> PausedJobs:
    return PausedJobs(clock)


@pytest.fixture
def make_waiting(make_job: MakeJob) -> MakeJob:
    late = {"run_at": Now() + timedelta(hours=1), "wait_reason": WaitReason.PROVIDER_PAUSED}
    return lambda **values: make_job(**{**late, **values})


def test_a_closed_breaker_frees_its_jobs(
    paused: PausedJobs, clock: Clock, make_waiting: MakeJob
) -> None:
    open_breaker(HAIKU)
    job, other = make_waiting(), make_waiting(wait_reason="user_tokens")
    assert paused.resume() == 0
    set_probe_time(HAIKU, in_s=0)
    clock.now += paused_jobs.EVERY_S
    assert paused.resume() == 0, "a probe is due, and it may fail"
    empty_gates()  # the breaker is closed again
    assert paused.resume() == 0, "not twice within a second"
    clock.now += paused_jobs.EVERY_S
    assert paused.resume() == 1
    assert waits(job) <= 0
    assert waits(other) > 60, "it waits for something else"


def test_a_long_queue_goes_on_in_parts(
    paused: PausedJobs,
    clock: Clock,
    make_waiting: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paused_jobs, "AT_ONCE", 2)
    waiting = [make_waiting(run_at=Now() + timedelta(hours=10 - each)) for each in range(3)]
    assert paused.resume() == 2
    assert [waits(job) <= 0 for job in waiting] == [False, True, True], "the nearest first"
    open_breaker(HAIKU)
    clock.now += paused_jobs.EVERY_S
    assert paused.resume() == 0
    empty_gates()
    clock.now += paused_jobs.EVERY_S
    assert paused.resume() == 1


@pytest.mark.parametrize("model", sorted(registry.get("summarize").models))
def test_all_models_must_answer(paused: PausedJobs, make_waiting: MakeJob, model: str) -> None:
    """A job may wait for the second model, and has paid the first."""
    open_breaker(model)
    make_waiting()
    assert paused.resume() == 0


@pytest.mark.parametrize(("forced", "goes_on"), [(Forced.OPEN, 0), (Forced.CLOSED, 1)])
def test_a_forced_state_counts(
    paused: PausedJobs, make_waiting: MakeJob, ada: User, forced: Forced, goes_on: int
) -> None:
    if goes_on:
        open_breaker(HAIKU)
    breakers.force(HAIKU, forced=forced, reason="r", user_id=ada.pk)
    make_waiting()
    assert paused.resume() == goes_on


def test_without_redis_jobs_wait(
    paused: PausedJobs, make_waiting: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise RedisUnavailable

    monkeypatch.setattr(SharedState, "read", away)
    make_waiting()
    assert paused.resume() == 0
    assert not factory.gate().breaker(HAIKU).shared


def test_a_working_account_frees_its_jobs(
    paused: PausedJobs, clock: Clock, make_waiting: MakeJob
) -> None:
    open_breaker(HAIKU)
    row = ProviderAccount.objects.create(account=account.name(), stopped_at=Now())
    job, other = make_waiting(wait_reason="provider_account"), make_waiting()
    assert paused.resume() == 0
    ProviderAccount.objects.filter(pk=row.pk).update(stopped_at=None)
    clock.now += paused_jobs.EVERY_S
    assert paused.resume() == 1
    assert waits(job) <= 0
    assert waits(other) > 60, "its breaker is open"


def test_jobs_wait_for_the_probe(paused: PausedJobs, clock: Clock, make_waiting: MakeJob) -> None:
    """Each job would be sent, fail in the same way and need the same probe."""
    until = Now() + timedelta(hours=1)
    row = ProviderAccount.objects.create(account=account.name(), probe_until=until)
    make_waiting(wait_reason="provider_account")
    assert paused.resume() == 0
    ProviderAccount.objects.filter(pk=row.pk).update(probe_until=None)
    clock.now += paused_jobs.EVERY_S
    assert paused.resume() == 1


@pytest.mark.parametrize(("key", "goes_on"), [("the new one", 1), (None, 0)])
def test_a_replaced_key_keeps_no_job(
    paused: PausedJobs,
    make_waiting: MakeJob,
    settings: Any,
    key: str | None,
    goes_on: int,
) -> None:
    """A process without a key has no account to compare."""
    settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": key}
    ProviderAccount.objects.create(account="sandbox, key 0ld", stopped_at=Now())
    make_waiting(wait_reason="provider_account")
    assert paused.resume() == goes_on


def test_calls_refused_by_the_account_return_one_by_one(clock: Clock) -> None:
    cache = account.StateCache(clock)
    assert [cache.back_in_s(5.0) for _ in range(3)] == pytest.approx([5.0, 5.1, 5.2])
    clock.now += 60.0
    assert cache.back_in_s(5.0) == 5.0


def test_bookings_of_an_earlier_stop_do_not_count(clock: Clock) -> None:
    cache = account.StateCache(clock)
    row = ProviderAccount.objects.create(account=account.name(), stopped_at=Now())
    assert cache.probe_in_s() is not None
    for _ in range(200):
        cache.back_in_s(5.0)
    for stopped_at in (None, Now()):
        ProviderAccount.objects.filter(pk=row.pk).update(stopped_at=stopped_at)
        clock.now += account.POLL_S
        assert (cache.probe_in_s() is None) == (stopped_at is None)
    assert cache.back_in_s(5.0) == 5.0


def test_a_wait_for_the_account_is_at_most_half_a_minute(clock: Clock) -> None:
    cache = account.StateCache(clock)
    waits = [cache.back_in_s(5.0) for _ in range(2_000)]
    assert min(waits) >= 5
    assert max(waits) <= 30
    most_at_once = max(Counter(round(wait, 1) for wait in waits).values())
    assert most_at_once < 20, "the calls come back at different times"
    assert cache.back_in_s(30.0) == 30, "no sooner than the next probe"


def test_a_model_that_no_job_of_users_may_call_delays_none(
    paused: PausedJobs, make_waiting: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the model of a version that is tried by a shadow alone."""
    make_waiting()
    own = {"v4": (HAIKU,), "v2": (SONNET,)}
    versions = [replace(prompts.get("summarize", name), models=own[name]) for name in own]
    monkeypatch.setattr(prompts, "readable", lambda _: versions)
    open_breaker(SONNET)
    assert paused.resume() == 1
