"""The gateway with its rate gate: each end of a call reaches its admission."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import pytest
import redis

from aifeature.services.provider import factory
from tests.sandbox_server import SandboxServer
from workers.inference.admission import GateAdmission
from workers.inference.client import AnthropicClient
from workers.inference.errors import (
    AnswerTruncated,
    Cancelled,
    Deferred,
    NotPriced,
    Overloaded,
    RateLimited,
)
from workers.inference.gateway import Gateway
from workers.inference.grants import CallEnd, LocalGrant, OpenAdmission, SharedGrant, UserTokens
from workers.inference.provider_limits import LimitsView
from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import SharedState
from workers.inference.token_bucket import SECOND
from workers.inference.types import Cancel, InferenceRequest, Message, TextBlock

MODEL = "claude-haiku-5-5"
ADA = UserTokens("summarize:1", 20_000)
"""A small bucket."""

KEY = f"aif:tokens:{ADA.key}"


class StandingStill(RateGate):
    """A rate gate whose time stands still, so that no bucket refills."""

    NOW: Final = 1_800_000_000 * SECOND

    def admit(self, **asked: Any) -> GateAdmission:
        return super().admit(**{**asked, "now": self.NOW})

    def settle(
        self, held: SharedGrant | LocalGrant, end: CallEnd, *, now: int | None = None
    ) -> None:
        super().settle(held, end, now=self.NOW if now is None else now)

    def status(self) -> LimitsView:
        seen = self.limits(MODEL, now=self.NOW)
        assert seen is not None
        return seen

    def left(self) -> list[int]:
        """Return the remaining requests, input tokens and output tokens."""
        return [limit.remaining for limit in self.status().limits]


@pytest.fixture
def gate(state: SharedState) -> StandingStill:
    return StandingStill(state)


@pytest.fixture
def gateway(sandbox: SandboxServer, gate: RateGate) -> Iterator[Gateway]:
    door = Gateway(AnthropicClient(api_key="k", base_url=sandbox.url), gate=gate)
    yield door
    door.close()


def opened(gateway: Gateway, sandbox: SandboxServer) -> None:
    """Open the breaker by ten failures."""
    sandbox.set_faults({"kind": "overloaded", "times": 10})
    for _ in range(10):
        with pytest.raises(Overloaded):
            sent(gateway, a_request())


def a_request(**changes: Any) -> InferenceRequest:
    given: dict[str, Any] = {
        "attempt_id": uuid4(),
        "model": MODEL,
        "system": (TextBlock("Summarise the document in two sentences."),),
        "messages": (Message("user", (TextBlock("The board met on Monday. " * 40),)),),
        "max_tokens": 300,
    }
    return InferenceRequest(**{**given, **changes})


def sent(gateway: Gateway, request: InferenceRequest, **options: Any) -> Any:
    admission = gateway.admit(request, user=ADA, booked=False)
    return gateway.infer(request, admission=admission, **{"cancel": Cancel(), **options})


def taken(raw_redis: redis.Redis) -> bool:
    return raw_redis.exists(KEY) == 1


def test_unused_tokens_come_back(
    gateway: Gateway, gate: StandingStill, sandbox: SandboxServer
) -> None:
    sandbox.set_faults(
        rate_limits={MODEL: {"requests": 1000, "input_tokens": 100_000, "output_tokens": 100_000}}
    )
    sent(gateway, a_request())
    before = gate.left()
    request = a_request()
    admission = gateway.admit(request, user=ADA, booked=False)
    reserved = gate.left()
    result = gateway.infer(request, cancel=Cancel(), admission=admission)
    after = gate.left()
    for row, used in ((1, result.usage.input_tokens), (2, result.usage.output_tokens)):
        first, held, last = before[row], reserved[row], after[row]
        assert first - held > used
        assert first - last == pytest.approx(used, abs=1)
        assert last > held


def test_failures_open_the_breaker(
    gateway: Gateway, gate: StandingStill, sandbox: SandboxServer
) -> None:
    opened(gateway, sandbox)
    assert gate.breaker(MODEL).state == "open"
    with pytest.raises(Deferred) as deferred:
        gateway.admit(a_request(), user=None, booked=False)
    assert deferred.value.reason == "breaker"
    assert len(sandbox.calls()) == 10


def test_a_rate_limit_defers_calls(
    gateway: Gateway, gate: StandingStill, sandbox: SandboxServer, raw_redis: redis.Redis
) -> None:
    sandbox.set_faults(rate_limits={MODEL: {"requests": 1}})
    first, second = (gateway.admit(a_request(), user=ADA, booked=False) for _ in range(2))
    gateway.infer(a_request(), cancel=Cancel(), admission=first)
    with pytest.raises(RateLimited) as refused:
        gateway.infer(a_request(), cancel=Cancel(), admission=second)
    assert refused.value.rate_limits["anthropic-ratelimit-requests-limit"] == "1"
    assert gate.status().blocked_s == 20
    assert gate.breaker(MODEL).calls == 1
    with pytest.raises(Deferred) as deferred:
        gateway.admit(a_request(), user=ADA, booked=False)
    assert deferred.value.reason == "provider_limit"
    assert deferred.value.wait_s == pytest.approx(60)


def test_a_call_cancelled_unsent_takes_nothing(gateway: Gateway, raw_redis: redis.Redis) -> None:
    cancel = Cancel()
    cancel.cancel("switch")
    with pytest.raises(Cancelled):
        sent(gateway, a_request(), cancel=cancel)
    assert not taken(raw_redis)


def test_a_model_without_a_price_takes_nothing(gateway: Gateway, raw_redis: redis.Redis) -> None:
    admission = gateway.admit(a_request(), user=ADA, booked=False)
    assert taken(raw_redis)
    with pytest.raises(NotPriced):
        gateway.infer(a_request(model="unheard-of"), cancel=Cancel(), admission=admission)
    assert not taken(raw_redis)


def test_a_defect_of_ours_ends_the_trial(
    gateway: Gateway, gate: StandingStill, sandbox: SandboxServer, raw_redis: redis.Redis
) -> None:
    opened(gateway, sandbox)
    raw_redis.hset(f"aif:breaker:{MODEL}", "until", 0)
    with pytest.raises(Deferred) as deferred:
        sent(gateway, a_request())
    probe = a_request(system=(), max_tokens=1)
    with pytest.raises(AnswerTruncated):
        gateway.infer(probe, cancel=Cancel(), admission=deferred.value.probe)

    def sink(_: str) -> None:
        raise LookupError("of the sink")

    with pytest.raises(LookupError):
        sent(gateway, a_request(), on_delta=sink)
    seen = gate.breaker(MODEL)
    assert (seen.state, seen.probes, seen.trials) == ("half_open", 0, 0)


def test_without_a_gate_every_call_is_admitted(sandbox: SandboxServer) -> None:
    door = Gateway(AnthropicClient(api_key="k", base_url=sandbox.url))
    admission = door.admit(a_request(), user=ADA, booked=False)
    assert isinstance(admission, OpenAdmission)
    assert door.infer(a_request(), cancel=Cancel(), admission=admission).text
    assert door.infer(a_request(), cancel=Cancel()).text
    admission.give_back()
    door.close()


def test_a_process_uses_the_redis_of_its_settings(
    db: None, sandbox: SandboxServer, raw_redis: redis.Redis
) -> None:
    for wired in (factory.shared_state, factory.gate, factory.request_limiter, factory.gateway):
        wired.cache_clear()
    assert factory.request_limiter().take("web", 5).remaining == 4
    factory.gateway().admit(a_request(), user=ADA, booked=False)
    rates = {b"aif:requests:web:rate", f"aif:rate:{ADA.key}".encode()}
    assert {b"aif:requests:web", KEY.encode(), *rates} == set(raw_redis.keys("*"))
