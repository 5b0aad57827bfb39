"""The results that count for a breaker. tests/integration/inference tests its decisions."""

from __future__ import annotations

import pytest

from workers.inference.breaker import (
    BreakerModel,
    BreakerPolicy,
    Change,
    outcome_of_failure,
    outcome_of_probe,
    outcome_of_success,
)
from workers.inference.errors import (
    AccessDenied,
    AnswerGarbled,
    AnswerIncomplete,
    AnswerTruncated,
    BillingStopped,
    Cancelled,
    ConnectionFailed,
    DeadlineReached,
    InferenceError,
    NotPriced,
    Overloaded,
    ProviderFault,
    ProviderTimeout,
    RateLimited,
    Refused,
    RequestRejected,
)

POLICY = BreakerPolicy()
FAILED, SLOW, BOTH, WELL, NOTHING = "1", "2", "3", "0", ""


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Overloaded("x"), FAILED),
        (ProviderFault("x"), FAILED),
        (ProviderTimeout("x", latency_ms=60_001), BOTH),
        (ConnectionFailed("x"), FAILED),
        (AnswerIncomplete("x", latency_ms=60_001), BOTH),
        (AnswerGarbled("x", latency_ms=60_000), NOTHING),
        (RateLimited("x", latency_ms=60_000), NOTHING),
        (RequestRejected("x"), NOTHING),
        (AccessDenied("x"), NOTHING),
        (BillingStopped("x"), NOTHING),
        (NotPriced("x"), NOTHING),
        (Refused("x"), WELL),
        (AnswerTruncated("x", latency_ms=61_000), SLOW),
        (Cancelled("x", reason="user", latency_ms=60_000), NOTHING),
        (DeadlineReached("x", latency_ms=59_999), NOTHING),
        (DeadlineReached("x", latency_ms=60_000), BOTH),
        (RuntimeError("ours"), NOTHING),
    ],
)
def test_only_what_the_provider_did_counts(error: Exception, outcome: str) -> None:
    assert outcome_of_failure(POLICY, error) == outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (AnswerTruncated("one token is all it may write"), WELL),
        (DeadlineReached("x", latency_ms=10_000), FAILED),
        (ProviderTimeout("x"), FAILED),
        (Overloaded("x", status=529), FAILED),
        (ConnectionFailed("x"), FAILED),
        (AnswerGarbled("nothing of a user is in it"), FAILED),
        (RequestRejected("it is an answer", status=400), WELL),
        (AccessDenied("x", status=401), WELL),
        (NotPriced("never sent"), NOTHING),
        (RateLimited("x", status=429), NOTHING),
        (Cancelled("x", reason="user"), NOTHING),
        (RuntimeError("ours"), NOTHING),
    ],
)
def test_a_probe_counts_any_answer_of_the_provider(error: Exception, outcome: str) -> None:
    assert outcome_of_probe(error) == outcome


def test_every_error_of_the_tree_that_is_the_providers_counts() -> None:
    found, left = [], [InferenceError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind not in {Cancelled, DeadlineReached}:
            found.append(kind)
    counted = {kind for kind in found if outcome_of_failure(POLICY, kind("x")) == FAILED}
    assert counted == {kind for kind in found if kind.provider_failure}


@pytest.mark.parametrize(("latency_ms", "outcome"), [(0, WELL), (60_000, WELL), (60_001, SLOW)])
def test_a_slow_answer_is_slow(latency_ms: int, outcome: str) -> None:
    assert outcome_of_success(POLICY, latency_ms) == outcome


def test_a_breaker_closes_opens_and_probes() -> None:
    breaker = BreakerModel(BreakerPolicy(size=4, minimum=2, trials=2, open_s=10))
    for number in range(2):
        look = breaker.admit(str(number), now=0, farthest=10**9)
        change = breaker.record(str(number), look.since, FAILED, now=0)
    assert change == Change("closed", "open", 2, 2, 0)
    assert breaker.admit("a", now=9_999_999, farthest=10**9).wait == 1
    opens = breaker.admit("a", now=10_000_000, farthest=10**9)
    assert (opens.way, opens.change) == ("probe", Change("open", "half_open"))
    assert breaker.record("a", opens.since, WELL, now=10_000_000) is None
    for lease in ("b", "c"):
        assert breaker.admit(lease, now=10_000_000, farthest=10**9).way == "trial"
    assert breaker.record("b", opens.since, WELL, now=10_000_000) is None
    assert breaker.record("c", opens.since, WELL, now=10_000_000) == Change(
        "half_open", "closed", 2, 0, 0
    )


def opens_and_closes(breaker: BreakerModel, now: int) -> int:
    """It fails, is tried, and answers. Returns when that is over."""
    for lease in ("f1", "f2"):
        since = breaker.admit(lease, now=now, farthest=10**9).since
        breaker.record(lease, since, FAILED, now=now)
    now = breaker.open_until
    breaker.admit("probe", now=now, farthest=10**9)
    breaker.record("probe", -1, WELL, now=now)
    for lease in ("t1", "t2"):
        breaker.admit(lease, now=now, farthest=10**9)
        breaker.record(lease, -1, WELL, now=now)
    assert breaker.state == "closed"
    return now


def test_a_call_that_began_before_an_outage_closes_no_breaker() -> None:
    breaker = BreakerModel(BreakerPolicy(size=4, minimum=2, trials=2))
    stragglers = [breaker.admit(lease, now=1, farthest=10**9) for lease in ("a", "b")]
    now = opens_and_closes(breaker, 1)
    for lease, look in zip(("a", "b"), stragglers, strict=True):
        assert breaker.record(lease, look.since, FAILED, now=now + 1) is None
    assert (breaker.state, breaker.ring) == ("closed", "")


def test_the_open_time_doubles_up_to_its_limit() -> None:
    policy = BreakerPolicy(size=4, minimum=2, trials=2, open_s=5, longest_open_s=30)
    breaker, now, waits = BreakerModel(policy), 1, []
    for _ in range(5):
        began, now = now, opens_and_closes(breaker, now)
        waits.append((now - began) // 1_000_000)
    assert waits == [5, 10, 20, 30, 30]
