"""Redis gone, frozen or back: small limits of one's own meanwhile, and nobody is held up."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from django.conf import settings

from project.stack.throwaway import Servers, running
from workers.inference.errors import Billing, Deferred, Overloaded, RateLimited
from workers.inference.grants import UserTokens
from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import PAUSE_S, TIMEOUT_S, SharedState, connect
from workers.inference.token_bucket import RequestLimiter
from workers.inference.types import TokenUsage

MODEL = "claude-haiku-5-5"
NOBODY = "redis://127.0.0.1:9/0"
PATIENCE_S = 20.0
"""How long a test waits for what should come at once."""


class Clock:
    """Seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _patient_with_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is the outage that counts: no longer than outside of tests."""
    monkeypatch.setattr("workers.inference.shared_state.TIMEOUT_S", TIMEOUT_S)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dead(clock: Clock) -> SharedState:
    """A port at which nobody listens, on a clock that stands still."""
    client = redis.Redis.from_url(NOBODY, socket_connect_timeout=TIMEOUT_S, retry=None)
    return SharedState(client, clock=clock)


@pytest.fixture(scope="module")
def _own() -> Iterator[Servers]:
    with running(database=False) as servers:
        yield servers


@pytest.fixture
def own_url(_own: Servers) -> str:
    """A Redis of this module's own, for it is frozen."""
    return _own.env["REDIS_URL"]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the shared state has logged; other threads of the process may log as well."""
    name = "workers.inference.shared_state"
    return [record.getMessage() for record in caplog.records if record.name == name]


@contextmanager
def frozen(url: str) -> Iterator[None]:
    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_breaker_that_is_held_open_tells_moments_apart(dead: SharedState, clock: Clock) -> None:
    gate = RateGate(dead, forced=lambda _: "open", clock=clock)
    waits = []
    for _ in range(3):
        with pytest.raises(Deferred) as deferred:
            gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
        waits.append(deferred.value.wait_s)
    assert waits == pytest.approx([5.0, 5.05, 5.1])


@pytest.mark.parametrize(
    ("per_minute", "allowed"), [(600, 60), (100, 10), (25, 2), (10, 1), (3, 1), (1, 1)]
)
def test_each_process_allows_a_tenth_and_at_least_one(
    dead: SharedState, clock: Clock, per_minute: int, allowed: int
) -> None:
    limiter = RequestLimiter(dead, clock=clock)
    takes = [limiter.take("u", per_minute) for _ in range(per_minute + 5)]
    assert sum(take.allowed for take in takes) == allowed
    assert takes[-1].retry_after_s <= 60
    clock.now += takes[-1].retry_after_s
    assert limiter.take("u", per_minute).allowed


def test_its_tokens_are_limited_too(dead: SharedState, clock: Clock) -> None:
    gate, user = RateGate(dead, clock=clock), UserTokens("u", 10_000)

    def ask() -> None:
        gate.admit(model=MODEL, input_tokens=300, output_tokens=200, user=user)

    ask()
    gate.admit(model=MODEL, input_tokens=300, output_tokens=200, user=user).succeeded(
        TokenUsage(100, 100), {}, 100
    )
    with pytest.raises(Deferred) as deferred:
        ask()
    assert deferred.value.reason == "user_tokens"
    assert deferred.value.wait_s == pytest.approx(12.0)
    clock.now += deferred.value.wait_s
    ask()


def test_what_was_seen_of_the_providers_limits_holds_in_a_tenth(
    dead: SharedState, clock: Clock
) -> None:
    gate = RateGate(dead, clock=clock)
    told = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "50",
    }
    gate.admit(model=MODEL, input_tokens=1, output_tokens=1).succeeded(TokenUsage(), told, 100)
    for _ in range(5):
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    with pytest.raises(Deferred) as deferred:
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    assert deferred.value.reason == "provider_limit"


@pytest.mark.parametrize(("answers", "more"), [(1, 7), (2, 0)])
def test_a_lower_limit_is_believed_there_once_a_second_answer_names_it(
    dead: SharedState, clock: Clock, answers: int, more: int
) -> None:
    gate, let_in = RateGate(dead, clock=clock), 0
    permits = [gate.admit(model=MODEL, input_tokens=1, output_tokens=1) for _ in range(3)]
    for permit, limit in zip(permits, [80, *[10] * answers], strict=False):
        told = {
            f"anthropic-ratelimit-requests-{name}": str(limit) for name in ("limit", "remaining")
        }
        permit.succeeded(TokenUsage(), told, 100)
    gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    with suppress(Deferred):
        while True:
            gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
            let_in += 1
    assert let_in == more


def test_a_rate_limit_keeps_the_process_away(dead: SharedState, clock: Clock) -> None:
    gate = RateGate(dead, clock=clock)
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=5.0)
    gate.admit(model=MODEL, input_tokens=1, output_tokens=1).failed(error)
    with pytest.raises(Deferred) as deferred:
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    assert deferred.value.wait_s == pytest.approx(5.0)
    clock.now += 5.0
    gate.admit(model=MODEL, input_tokens=1, output_tokens=1)


def test_its_breaker_is_its_own(dead: SharedState, clock: Clock) -> None:
    gate = RateGate(dead, clock=clock)
    for _ in range(10):
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1).failed(Overloaded("no"))
    with pytest.raises(Deferred) as deferred:
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    assert deferred.value.reason == "breaker"
    seen = gate.breaker(MODEL)
    assert (seen.state, seen.shared) == ("open", False)
    clock.now += deferred.value.wait_s
    with pytest.raises(Deferred) as deferred:
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    assert gate.breaker(MODEL).state == "half_open"
    assert deferred.value.probe is not None
    deferred.value.probe.succeeded(TokenUsage(), {}, 100)
    trial = gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    assert trial.sink(None) is not None
    seen = gate.breaker(MODEL)
    assert (seen.state, seen.trials) == ("half_open", 1)


def test_it_knows_by_itself_that_the_provider_is_down(dead: SharedState, clock: Clock) -> None:
    gate, next_one = RateGate(dead, clock=clock), "claude-sonnet-5-5"
    for _ in range(10):
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1).failed(Overloaded("no"))
    with pytest.raises(Deferred) as deferred:
        gate.admit(model=next_one, input_tokens=1, output_tokens=1, fallback=True)
    assert deferred.value.probe is not None
    deferred.value.probe.failed(Overloaded("no"))
    with pytest.raises(Deferred) as deferred:
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    assert (deferred.value.outage, gate.outage()) == (True, (MODEL, next_one))


def test_a_bucket_that_refuses_takes_no_trial_of_the_process(
    dead: SharedState, clock: Clock
) -> None:
    gate, user = RateGate(dead, clock=clock), UserTokens("u", 10_000)
    for _ in range(10):
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1).failed(Overloaded("no"))
    clock.now += 15
    with pytest.raises(Deferred) as deferred:
        gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    assert deferred.value.probe is not None
    deferred.value.probe.succeeded(TokenUsage(), {}, 100)
    gate.admit(model="other", input_tokens=1_000, output_tokens=0, user=user)
    for _ in range(6):
        with pytest.raises(Deferred) as deferred:
            gate.admit(model=MODEL, input_tokens=1_000, output_tokens=0, user=user)
        assert deferred.value.reason == "user_tokens"
    assert gate.breaker(MODEL).trials == 0


def test_nothing_is_known_of_shared_limits(dead: SharedState) -> None:
    assert RateGate(dead).limits(MODEL) is None


def test_an_outage_and_its_end_are_logged_once_each(
    own_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.inference.shared_state.TIMEOUT_S", 2.0)  # only frozen it is slow
    limiter = RequestLimiter(connect(own_url, settings.REDIS_SOCKET))
    assert limiter.take("once", 1_000).limit == 1_000
    with caplog.at_level(logging.WARNING, "workers.inference"):
        with frozen(own_url):
            for _ in range(20):
                assert limiter.take("once", 1_000).limit == 100
        until = time.monotonic() + PATIENCE_S
        while limiter.take("once", 1_000).limit != 1_000:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert limiter.take("once", 1_000).limit == 1_000
    messages = told(caplog)
    assert len(messages) == 2
    assert "is unavailable" in messages[0]
    assert "is available again" in messages[1]


def test_an_outage_of_many_pauses_is_logged_once(
    dead: SharedState, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = RequestLimiter(dead, clock=clock)
    with caplog.at_level(logging.WARNING, "workers.inference"):
        for _ in range(5):
            limiter.take("u", 10)
            clock.now += PAUSE_S
    assert len(told(caplog)) == 1


def test_a_frozen_redis_holds_one_caller_up_once_and_then_none(
    own_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(own_url, settings.REDIS_SOCKET)._client
    gate = RateGate(SharedState(client, clock=clock), clock=clock)
    gate.admit(model=MODEL, input_tokens=1, output_tokens=1).give_back()
    connection: Any = client.connection_pool.get_connection()
    assert connection._sock.gettimeout() == TIMEOUT_S
    client.connection_pool.release(connection)
    ask, asked = client.evalsha, []

    def counted(*args: Any) -> Any:
        asked.append(time.monotonic())
        return ask(*args)

    client.evalsha = counted  # type: ignore[method-assign, assignment]
    connects: list[redis.connection.Connection] = []

    def connect_once_more(self: redis.connection.Connection) -> None:
        connects.append(self)
        raise OSError

    def callers() -> float:
        monkeypatch.setattr(redis.connection.Connection, "_connect", connect_once_more)
        permit = gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
        held_up = time.monotonic() - asked[0]
        for _ in range(20):
            gate.admit(model=MODEL, input_tokens=1, output_tokens=1).give_back()
        permit.give_back()
        return held_up

    with ThreadPoolExecutor(1) as threads, frozen(own_url):
        held_up = threads.submit(callers).result(PATIENCE_S)
    assert held_up > TIMEOUT_S / 2
    assert len(asked) == 1
    assert connects == [], "nobody tried once more on another connection"


def test_two_hundred_threads_at_once_are_no_outage(raw_redis: redis.Redis) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.inference.shared_state.TIMEOUT_S", PATIENCE_S)
        state = connect(settings.REDIS_URL, settings.REDIS_SOCKET)
    pool = state._client.connection_pool
    busy = [pool.get_connection() for _ in range(200)]
    assert RequestLimiter(state).take("busy", 1_000).limit == 1_000
    for connection in busy:
        pool.release(connection)
    pool.disconnect()


def test_a_permit_whose_redis_is_gone_by_its_end_brings_no_error(own_url: str) -> None:
    gate = RateGate(connect(own_url, settings.REDIS_SOCKET))
    permit = gate.admit(model=MODEL, input_tokens=1, output_tokens=1)
    with frozen(own_url):
        permit.succeeded(TokenUsage(1, 1), {}, 100)


def test_after_a_pause_one_caller_asks_for_all(dead: SharedState, clock: Clock) -> None:
    """Otherwise each of a hundred threads would wait for an answer of its own, every second."""
    asked = 0
    original = dead._client.evalsha

    def counted(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        # What another thread would do while this one waits.
        if asked == 2:
            limiter.take("u", 10)
        return original(*args)

    dead._client.evalsha = counted  # type: ignore[method-assign, assignment]
    limiter = RequestLimiter(dead, clock=clock)
    limiter.take("u", 10)
    limiter.take("u", 10)
    assert asked == 1
    clock.now += PAUSE_S
    limiter.take("u", 10)
    assert asked == 2
