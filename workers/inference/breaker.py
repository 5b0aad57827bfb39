"""A circuit breaker per model, with the semantics of resilience4j.

A count-based window of the last calls; from a minimum on, a rate of failures or of slow calls at or
above its threshold opens it. After the open time a few probes are let through, and the rates of all
of them decide. Differences, each for a reason: a probe is leased, so that one whose process died
does not keep its place for ever; and a result counts only in the state its call was let in by, so
that the stragglers of an outage say nothing of what came after it.

`lua/breaker.lua` is the same in Redis, for all processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from workers.inference.errors import (
    AnswerUnusable,
    DeadlineReached,
    InferenceError,
)

State = Literal["closed", "open", "half_open"]
Forced = Literal["", "open", "closed"]

SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and how it closes again."""

    size: int = 50
    """Calls of the sliding window."""

    minimum: int = 10
    """Calls before a rate counts."""

    failure_percent: int = 50
    slow_percent: int = 80
    """From this share of the window on, it opens."""

    slow_s: float = 60.0
    """A call that takes longer than so many seconds is slow: half of what a call may take unless
    its feature says otherwise."""

    open_s: float = 15.0
    """Seconds until the first probe."""

    probes: int = 5
    """Calls that are let through to find out; all of them decide."""

    lease_s: float = 20.0
    """Seconds after which a probe nobody heard of makes room for another: its process may be dead,
    or its end was told to a Redis that did not answer. What it still tells counts."""

    recheck_s: float = 3.0
    """Seconds until a call is to come back that found all probes taken."""

    per_s: int = 100
    """How many of the calls that wait are told to come back in one second."""

    @property
    def open_us(self) -> int:
        return round(self.open_s * SECOND)

    @property
    def lease_us(self) -> int:
        return round(self.lease_s * SECOND)

    @property
    def recheck_us(self) -> int:
        return round(self.recheck_s * SECOND)

    @property
    def spacing_us(self) -> int:
        return SECOND // self.per_s


def outcome_of_success(policy: BreakerPolicy, latency_ms: int) -> str:
    """The digit of a complete answer (see `lua/breaker.lua`)."""
    return "2" if _slow(policy, latency_ms) else "0"


def outcome_of_failure(policy: BreakerPolicy, error: BaseException) -> str:
    """The digit of a call that failed; '' where it says nothing about the provider.

    Our own aborts say nothing, nor do a 4xx, a rate limit or a defect of ours. A deadline does if
    the provider had the time after which a call is slow: it was slow, and it failed its user. If a
    job near its end gave the call less than that, it says nothing. A refused or truncated answer is
    an answer: the provider is well.
    """
    if not isinstance(error, InferenceError):
        return ""
    if isinstance(error, AnswerUnusable):
        return outcome_of_success(policy, error.latency_ms)
    if isinstance(error, DeadlineReached):
        # Slow, not slower: a deadline of just that length is reached at its last millisecond.
        return "3" if error.latency_ms >= policy.slow_s * 1000 else ""
    if not error.provider_failure:
        return ""
    return "3" if _slow(policy, error.latency_ms) else "1"


def _slow(policy: BreakerPolicy, latency_ms: int) -> bool:
    return latency_ms > policy.slow_s * 1000


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker changed its state; `calls`, `failed` and `slow` are what decided, if any did."""

    before: State
    after: State
    calls: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a breaker says to one call."""

    wait: int
    """Microseconds until it is to come back; 0: it may be sent."""

    since: int = 0
    probe: bool = False
    change: Change | None = None


@dataclass(slots=True)
class BreakerModel:
    """The same steps in plain Python: one breaker of one process. Not safe for threads by itself.

    Times are microseconds since any fixed moment.
    """

    policy: BreakerPolicy
    state: State = "closed"
    since: int = 0
    ring: str = ""
    results: str = ""
    open_until: int = 0
    next: int = 0
    leases: dict[str, int] = field(default_factory=dict)

    def would_admit(self, *, now: int) -> bool:
        """Whether `admit` would let a call through; nothing is changed by asking."""
        if self.state == "half_open":
            return self._live(now) + len(self.results) < self.policy.probes
        return self.state == "closed" or now >= self.open_until

    def admit(self, lease: str, *, now: int, farthest: int) -> Look:
        """Let a call through, or tell it when to come back, at most `farthest` from now."""
        if not self.would_admit(now=now):
            opens_in = self.open_until - now if self.state == "open" else self.policy.recheck_us
            wait = min(max(self.next - now, opens_in), farthest)
            self.next = now + wait + self.policy.spacing_us
            return Look(wait, self.since)
        if self.state == "closed":
            return Look(0, self.since)
        change = None
        if self.state == "open":
            change = Change("open", "half_open")
            self._become("half_open", now)
        self.leases[lease] = now + self.policy.lease_us
        return Look(0, self.since, probe=True, change=change)

    def record(self, lease: str, since: int, outcome: str, *, now: int) -> Change | None:
        """A call ended; '' is no verdict. Returns the change it made, if any."""
        if self.state == "half_open" and self.leases.pop(lease, None) is not None:
            self.results += outcome
            if not outcome or len(self.results) < self.policy.probes:
                return None
            return self._turn(self.results, now)
        if self.state != "closed" or not outcome or since != self.since:
            return None
        self.ring = (self.ring + outcome)[-self.policy.size :]
        if len(self.ring) < self.policy.minimum or not self._bad(self.ring):
            return None
        return self._turn(self.ring, now)

    def _live(self, now: int) -> int:
        return sum(until > now for until in self.leases.values())

    def _bad(self, ring: str) -> bool:
        calls, failed, slow = rates(ring)
        return (
            failed * 100 >= self.policy.failure_percent * calls
            or slow * 100 >= self.policy.slow_percent * calls
        )

    def _turn(self, ring: str, now: int) -> Change:
        before = self.state
        if self._bad(ring):
            self._become("open", now)
            self.ring, self.open_until = ring, now + self.policy.open_us
            return Change(before, "open", *rates(ring))
        self._become("closed", now)
        self.ring, self.open_until, self.next = "", 0, 0
        return Change(before, "closed", *rates(ring))

    def _become(self, state: State, now: int) -> None:
        self.state, self.since, self.results = state, now, ""
        self.leases.clear()


def rates(ring: str) -> tuple[int, int, int]:
    """Calls, failed ones and slow ones of a row of outcomes."""
    return (
        len(ring),
        ring.count("1") + ring.count("3"),
        ring.count("2") + ring.count("3"),
    )


@dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker for those who watch it."""

    model: str
    state: State
    forced: Forced
    calls: int
    """Calls in the window; of a breaker that is open, in the one that opened it."""

    failure_rate: float
    slow_rate: float
    """Shares of the calls, 0 to 1."""

    open_for_s: float
    """Seconds until the first probe may be sent; 0 if it is not open."""

    probes: int
    """Probes under way."""

    shared: bool
    """Whether it is that of all processes; False: Redis is away and it is this process's own."""


def view(
    model: str, fields: Mapping[str, str], *, forced: Forced, now: int, shared: bool = True
) -> BreakerView:
    """A breaker from its hash at a moment in microseconds."""
    found = fields.get("state", "closed")
    state: State = "open" if found == "open" else "half_open" if found == "half_open" else "closed"
    calls, failed, slow = rates(fields.get("ring", ""))
    leases = [int(value) for name, value in fields.items() if name.startswith("p:")]
    left = int(fields.get("until", 0)) - now if state == "open" else 0
    return BreakerView(
        model=model,
        state=state,
        forced=forced,
        calls=calls,
        failure_rate=failed / calls if calls else 0.0,
        slow_rate=slow / calls if calls else 0.0,
        open_for_s=max(left, 0) / SECOND,
        probes=sum(until > now for until in leases),
        shared=shared,
    )


def fields_of(breaker: BreakerModel) -> dict[str, str]:
    """The hash that stands for a breaker of a process."""
    leases = {f"p:{name}": str(until) for name, until in breaker.leases.items()}
    return {
        "state": breaker.state,
        "ring": breaker.ring,
        "until": str(breaker.open_until),
        **leases,
    }
