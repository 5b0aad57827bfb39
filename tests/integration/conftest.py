"""Fixtures of tests on the real stores: users, open features, a sandbox provider."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections

from aifeature.services.controls import breakers, effective
from aifeature.services.dispatch import dispatcher, publisher
from aifeature.services.dispatch.worker_agent import WorkerAgent
from aifeature.services.execution import worker_context
from aifeature.services.execution.worker_context import WorkerContext
from aifeature.services.failures import web_failures
from aifeature.services.jobs import admission
from aifeature.services.monitoring import refused_submissions
from aifeature.services.provider import account, factory
from aifeature.services.stores import broker
from aifeature.services.streams import writer
from tests import proof
from tests.functions_in_thread import FunctionsInThread
from tests.integration.job_rows import claimed, make_call, make_job
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.synthetic_mark import no_page_reads_the_synthetic_mark
from workers.retry_budget import RetryBudget

__all__ = ["claimed", "make_call", "make_job", "no_page_reads_the_synthetic_mark"]

AMPLE_RATES = {
    "requests_per_minute": Decimal(99_999),
    "tokens_per_minute": 2_000_000_000,
    "user_in_flight": 1_000,
}
"""Higher than any test needs that does not test rates."""

DAY_TURNS_S = 20.0

DISPATCHING = {"agent", "dispatcher"}
"""Names of the threads that publish jobs."""

PATIENT = (
    "workers.inference.shared_state.TIMEOUT_S",
    "aifeature.services.stores.broker.PUBLISH_TIMEOUT_S",
    "aifeature.services.dispatch.dispatcher.TIMEOUT_S",
    "aifeature.services.stores.redis_state.TIMEOUT_S",
    "aifeature.services.streams.writer.TIMEOUT_S",
    "aifeature.services.streams.hub.TIMEOUT_S",
)
"""The time-out of each client of Redis."""

PATIENCE_S = 30.0
"""On a busy machine a healthy Redis may exceed the time-outs of production."""


@pytest.hookimpl(tryfirst=True)  # before a transaction begins, which has an idle time-out
def pytest_runtest_setup() -> None:
    """Start no test shortly before the UTC day ends, and with it perhaps the week or the month.

    Its rows of today would be of yesterday. Tests of the end of a day use fixed times.
    """
    left_s = -time.time() % 86_400
    if left_s < DAY_TURNS_S:
        time.sleep(left_s + 0.1)


@pytest.fixture(autouse=True)
def _patient_with_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raise the time-outs of Redis, and forget the outages of earlier tests."""
    for name in PATIENT:
        monkeypatch.setattr(name, PATIENCE_S)
    _forget_redis()
    yield
    _forget_redis()


def _forget_redis() -> None:
    for each in (factory.gate, factory.request_limiter, factory.shared_state):
        each.cache_clear()
    broker.connection.cache_clear()
    publisher.outage.succeeded()
    dispatcher._client.cache_clear()


@pytest.fixture(autouse=True)
def context() -> Iterator[WorkerContext]:
    """The worker context of a test: a new retry budget, the keeper and streams of the process.

    Functions of features run in their caller's thread, so that a test can replace them.
    """
    process = worker_context.current()
    fresh = replace(process, retries=RetryBudget(), functions=FunctionsInThread())
    with worker_context.using(fresh) as own:
        yield own


@pytest.fixture
def agent() -> WorkerAgent:
    """A worker agent without its thread. The test makes each turn."""
    made = WorkerAgent()
    made.stop()
    return made


@pytest.fixture(autouse=True)
def _no_thread_dispatches_in_a_later_test() -> Iterator[None]:
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name in DISPATCHING]
    assert not left, "a thread of this test still publishes jobs: stop it"


@pytest.fixture(autouse=True)
def _forget_failed_requests() -> None:
    """A failed request of an earlier test that is not stored yet would be stored in this one."""
    vars(web_failures.failures).update(vars(web_failures.Failures()))
    vars(refused_submissions.counts).update(vars(refused_submissions.RefusedCounts()))


@pytest.fixture(autouse=True)
def _fresh_control_cache() -> Iterator[None]:
    effective.cache.clear()
    yield
    effective.cache.clear()


@pytest.fixture
def caches_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of all caches, so that the number of queries does not depend on time."""
    for cache in (effective.cache, breakers.cache, account.cache, admission.loads):
        cache.clear()
        monkeypatch.setattr(cache, "_clock", lambda: 0.0)


@pytest.fixture(autouse=True)
def _fresh_gates(_patient_with_redis: None) -> Iterator[None]:
    """Reset buckets and breakers."""
    account.cache.clear()
    breakers.cache.clear()
    admission.loads.clear()
    yield
    account.cache.clear()
    breakers.cache.clear()
    if writer.process.cache_info().currsize:
        writer.process().flush()  # not during the next test
    empty_gates()
    admission.loads.clear()


def empty_gates() -> None:
    """Delete buckets, limits and breakers."""
    if factory.shared_state.cache_info().currsize:
        client = _emptying(settings.REDIS_URL)
        if keys := list(client.scan_iter("aif:*", count=1000)):
            client.delete(*keys)


@lru_cache
def _emptying(url: str) -> redis.Redis:
    """A client for all tests of a process, since connecting takes longer than the deletion."""
    return redis.Redis.from_url(url, protocol=2)


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def live_prompt(db: None) -> None:
    """Make a prompt of `summarize` live. Its jobs would wait without one."""
    proof.activate("summarize")


@pytest.fixture
def opened(db: None) -> None:
    """Open `summarize` to all users with ample rates."""
    proof.open_to_users("summarize", **AMPLE_RATES)


@pytest.fixture(scope="session")
def _sandbox_server() -> Iterator[SandboxServer]:
    with running_sandbox() as server:
        yield server


@pytest.fixture
def sandbox(
    _sandbox_server: SandboxServer, _fresh_gates: None, settings: Any
) -> Iterator[SandboxServer]:
    """Connect the gateway of this process to a sandbox provider without faults."""
    _sandbox_server.reset()
    settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "k", "BASE_URL": _sandbox_server.url}
    factory.gateway.cache_clear()
    yield _sandbox_server
    factory.gateway().close()
    factory.gateway.cache_clear()


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Real commits and connections. All connections are in their pool at the end."""
    yield
    wait_until_quiet()
    connections.close_all()
    wait_until_given_back()


def wait_until_given_back() -> None:
    """A thread that ends with a connection takes it from all later tests."""
    pool: Any = connection.pool  # type: ignore[attr-defined]
    end = time.monotonic() + 20
    while lent := pool.size - len(pool._idle):
        assert time.monotonic() < end, f"{lent} connections were not given back to the pool"
        time.sleep(0.01)


def wait_until_quiet() -> None:
    """Wait until no other session of this database is active or in a transaction.

    Such a session would deadlock with the truncation of the tables.
    """
    _wait_for_sessions("state <> 'idle' AND pid <> pg_backend_pid()", present=False)


def wait_until_blocked() -> None:
    """Wait until a session of this database waits for the lock of another one."""
    assert _wait_for_sessions("wait_event_type = 'Lock'", present=True), "no session waits"


def _wait_for_sessions(condition: str, *, present: bool) -> bool:
    """Return whether it came true in time that there are, or are not, such sessions."""
    end = time.monotonic() + 60
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # in a transaction it would be kept
            cursor.execute(
                "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"  # noqa: S608 (constants)
                f" AND backend_type = 'client backend' AND {condition})"
            )
            if cursor.fetchone()[0] is present:
                return True
            time.sleep(0.01)
    return False
