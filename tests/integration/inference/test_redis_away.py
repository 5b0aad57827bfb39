"""Redis is away, frozen or back: each process has small limits of its own and delays no caller."""

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
from tests.integration.clock import Clock, clock
from tests.integration.inference.test_rate_gate import headers
from workers.inference.admission import GateAdmission
from workers.inference.errors import Billing, Deferred, Overloaded, RateLimited
from workers.inference.grants import UserTokens
from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import PAUSE_S, TIMEOUT_S, SharedState, connect
from workers.inference.token_bucket import RequestLimiter
from workers.inference.types import TokenUsage

MODEL = "claude-haiku-5-5"
NOTHING_LISTENS = "redis://127.0.0.1:9/0"
PATIENCE_S = 20.0
"""Most seconds that a test waits for an event."""

__all__ = ["clock"]


def admit(gate: RateGate, model: str = MODEL, **options: Any) -> GateAdmission:
    return gate.admit(**{"model": model, "input_tokens": 1, "output_tokens": 1, **options})


def deferred(gate: RateGate, model: str = MODEL, **options: Any) -> Deferred:
    """Return the deferral of a call."""
    with pytest.raises(Deferred) as caught:
        admit(gate, model, **options)
    return caught.value


def opened(gate: RateGate) -> None:
    """Open the breaker by ten failures."""
    for _ in range(10):
        admit(gate).failed(Overloaded("no"))


@pytest.fixture(autouse=True)
def _patient_with_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the timeout of production: these tests are about outages."""
    monkeypatch.setattr("workers.inference.shared_state.TIMEOUT_S", TIMEOUT_S)


@pytest.fixture
def dead(clock: Clock) -> SharedState:
    """A port at which nothing listens, on a clock that stands still."""
    client = redis.Redis.from_url(NOTHING_LISTENS, socket_connect_timeout=TIMEOUT_S, retry=None)
    return SharedState(client, clock=clock)


@pytest.fixture(scope="module")
def _own() -> Iterator[Servers]:
    with running(database=False) as servers:
        yield servers


@pytest.fixture
def own_url(_own: Servers) -> str:
    """A Redis of this module alone, which its tests freeze."""
    return _own.env["REDIS_URL"]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log lines of the shared state."""
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


def test_a_breaker_forced_open_gives_separate_times(dead: SharedState, clock: Clock) -> None:
    gate = RateGate(dead, forced=lambda _: "open", clock=clock)
    assert [deferred(gate).wait_s for _ in range(3)] == pytest.approx([5.0, 5.05, 5.1])


@pytest.mark.parametrize(
    ("per_minute", "allowed"), [(600, 60), (100, 10), (25, 2), (10, 1), (3, 1), (1, 1)]
)
def test_a_process_allows_a_tenth(
    dead: SharedState, clock: Clock, per_minute: int, allowed: int
) -> None:
    limiter = RequestLimiter(dead, clock=clock)
    takes = [limiter.take("u", per_minute) for _ in range(per_minute + 5)]
    assert sum(take.allowed for take in takes) == allowed
    assert takes[-1].retry_after_s <= 60
    clock.now += takes[-1].retry_after_s
    assert limiter.take("u", per_minute).allowed


def test_tokens_are_limited_to_a_tenth(dead: SharedState, clock: Clock) -> None:
    gate = RateGate(dead, clock=clock)
    call: dict[str, Any] = {
        "input_tokens": 300,
        "output_tokens": 200,
        "user": UserTokens("u", 10_000),
    }
    admit(gate, **call)
    admit(gate, **call).succeeded(TokenUsage(100, 100), {}, 100)
    refusal = deferred(gate, **call)
    assert refusal.reason == "user_tokens"
    assert refusal.wait_s == pytest.approx(12.0)
    clock.now += refusal.wait_s
    admit(gate, **call)


def test_a_process_keeps_a_tenth_of_a_provider_limit(dead: SharedState, clock: Clock) -> None:
    gate = RateGate(dead, clock=clock)
    admit(gate).succeeded(TokenUsage(), headers(requests=(50, 50)), 100)
    for _ in range(5):
        admit(gate)
    assert deferred(gate).reason == "provider_limit"


@pytest.mark.parametrize(("answers", "more"), [(1, 7), (2, 0)])
def test_two_answers_lower_a_limit(
    dead: SharedState, clock: Clock, answers: int, more: int
) -> None:
    gate, admitted = RateGate(dead, clock=clock), 0
    admissions = [admit(gate) for _ in range(3)]
    for admission, limit in zip(admissions, [80, *[10] * answers], strict=False):
        admission.succeeded(TokenUsage(), headers(requests=(limit, limit)), 100)
    admit(gate)
    with suppress(Deferred):
        while True:
            admit(gate)
            admitted += 1
    assert admitted == more


def test_a_rate_limit_defers_the_process(dead: SharedState, clock: Clock) -> None:
    gate = RateGate(dead, clock=clock)
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=5.0)
    admit(gate).failed(error)
    assert deferred(gate).wait_s == pytest.approx(5.0)
    clock.now += 5.0
    admit(gate)


def test_a_process_has_its_own_breaker(dead: SharedState, clock: Clock) -> None:
    gate = RateGate(dead, clock=clock)
    opened(gate)
    refusal = deferred(gate)
    assert refusal.reason == "breaker"
    seen = gate.breaker(MODEL)
    assert (seen.state, seen.shared) == ("open", False)
    clock.now += refusal.wait_s
    probe = deferred(gate).probe
    assert gate.breaker(MODEL).state == "half_open"
    assert probe is not None
    probe.succeeded(TokenUsage(), {}, 100)
    assert admit(gate).sink(None) is not None
    seen = gate.breaker(MODEL)
    assert (seen.state, seen.trials) == ("half_open", 1)


def test_a_process_detects_an_outage_alone(dead: SharedState, clock: Clock) -> None:
    gate, next_one = RateGate(dead, clock=clock), "claude-sonnet-5-5"
    opened(gate)
    probe = deferred(gate, next_one, fallback=True).probe
    assert probe is not None
    probe.failed(Overloaded("no"))
    assert (deferred(gate).outage, gate.outage()) == (True, (MODEL, next_one))


def test_a_refused_call_takes_no_trial(dead: SharedState, clock: Clock) -> None:
    gate, user = RateGate(dead, clock=clock), UserTokens("u", 10_000)
    opened(gate)
    clock.now += 15
    probe = deferred(gate).probe
    assert probe is not None
    probe.succeeded(TokenUsage(), {}, 100)
    call: dict[str, Any] = {"input_tokens": 1_000, "output_tokens": 0, "user": user}
    admit(gate, "other", **call)
    for _ in range(6):
        assert deferred(gate, **call).reason == "user_tokens"
    assert gate.breaker(MODEL).trials == 0


def test_shared_limits_are_unknown(dead: SharedState) -> None:
    assert RateGate(dead).limits(MODEL) is None


def test_an_outage_and_its_end_are_logged_once_each(
    own_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workers.inference.shared_state.TIMEOUT_S", 2.0
    )  # only a frozen Redis is slower
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
    messages = logged(caplog)
    assert len(messages) == 2
    assert "is unavailable" in messages[0]
    assert "is available again" in messages[1]


def test_a_long_outage_is_logged(
    dead: SharedState, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = RequestLimiter(dead, clock=clock)
    with caplog.at_level(logging.WARNING, "workers.inference"):
        for _ in range(5):
            limiter.take("u", 10)
            clock.now += PAUSE_S
    assert len(logged(caplog)) == 1


def test_a_frozen_redis_delays_one(
    own_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(own_url, settings.REDIS_SOCKET)._client
    gate = RateGate(SharedState(client, clock=clock), clock=clock)
    admit(gate).give_back()
    connection: Any = client.connection_pool.get_connection()
    assert connection._sock.gettimeout() == TIMEOUT_S
    client.connection_pool.release(connection)
    evalsha, asked = client.evalsha, []

    def counted(*args: Any) -> Any:
        asked.append(time.monotonic())
        return evalsha(*args)

    client.evalsha = counted  # type: ignore[method-assign, assignment]
    connects: list[redis.connection.Connection] = []

    def connect_once_more(self: redis.connection.Connection) -> None:
        connects.append(self)
        raise OSError

    def callers() -> float:
        monkeypatch.setattr(redis.connection.Connection, "_connect", connect_once_more)
        admission = admit(gate)
        held_up = time.monotonic() - asked[0]
        for _ in range(20):
            admit(gate).give_back()
        admission.give_back()
        return held_up

    with ThreadPoolExecutor(1) as threads, frozen(own_url):
        held_up = threads.submit(callers).result(PATIENCE_S)
    assert held_up > TIMEOUT_S / 2
    assert len(asked) == 1
    assert connects == [], "no second try on another connection"


def test_two_hundred_connections_are_no_outage(raw_redis: redis.Redis) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.inference.shared_state.TIMEOUT_S", PATIENCE_S)
        state = connect(settings.REDIS_URL, settings.REDIS_SOCKET)
    pool = state._client.connection_pool
    busy = [pool.get_connection() for _ in range(200)]
    assert RequestLimiter(state).take("busy", 1_000).limit == 1_000
    for connection in busy:
        pool.release(connection)
    pool.disconnect()


def test_an_admission_may_end_without_redis(own_url: str) -> None:
    gate = RateGate(connect(own_url, settings.REDIS_SOCKET))
    admission = admit(gate)
    with frozen(own_url):
        admission.succeeded(TokenUsage(1, 1), {}, 100)


def test_after_a_pause_one_caller_tries_again(dead: SharedState, clock: Clock) -> None:
    """Otherwise each of a hundred threads would wait for a timeout of its own, every second."""
    asked = 0
    original = dead._client.evalsha

    def counted(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        # Another thread takes while this one waits.
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
