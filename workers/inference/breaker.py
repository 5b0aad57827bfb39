"""A circuit breaker per model, with the semantics of resilience4j.

A count-based window of the last calls; from a minimum on, a rate of failures or of slow calls at or
above its threshold opens it. Differences, each for a reason:

- As many failures in a row as the minimum open it too: a storm that fails every call is not to be
  outvoted by the hour of health before it.

- After the open time one probe at a time is sent: a tiny call of our own, never a job's. A whole
  job that is not answered counts at its upper bound, which may be ten thousand times as much.
- After a probe was answered, trial calls go through: two, and two more for each one whose answer
  has begun or has come. The rates of the first few decide. So a provider that answers tiny calls
  and fails large ones gets a handful of them, and users of one that is well wait for nothing.
- Once trial calls have failed, the next one goes alone until the breaker closes. That buys the
  short open time: one large call every few seconds costs less than two after half a minute, and
  users are served seconds after the provider's return.
- The same steps, probe and trial calls, come before calls that fall back from a model whose breaker
  is open: if the next, dearer one is down as well, a tiny call finds it out and not ten whole jobs.
- Probes and trial calls are leased, so that one whose process died does not keep its place.
- A result counts only in the state its call was let in by, so that the stragglers of an outage say
  nothing of what came after it.
- A breaker that opens again soon after it closed stays open twice as long, up to a limit. After a
  probe or trial calls that failed the open time does not grow: the provider's return is to be seen
  soon.

`breaker_trips.py` holds the state that all breakers share. `lua/breaker.lua` implements the same
steps in Redis, for all processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from workers.inference.breaker_trips import BreakerTrips
from workers.inference.errors import (
    AnswerGarbled,
    AnswerUnusable,
    Cancelled,
    DeadlineReached,
    InferenceError,
    RateLimited,
)

State = Literal["closed", "open", "half_open"]
Forced = Literal["", "open", "closed"]
Way = Literal["call", "trial", "probe", "wait"]
"""How a call may go: as usual, as a trial, not before a probe that its caller sends, not now."""

SECOND: Final = 1_000_000

NEVER: Final = -1
"""A state that no result counts in."""

KEEP_MS: Final = 3_600_000
"""Milliseconds for which Redis keeps an idle breaker."""

MOST_FLAPS: Final = 10
"""From here on the open time does not double any more, whatever its limit."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and how it closes again."""

    size: int = 50
    """Calls of the sliding window."""

    minimum: int = 10
    """Calls before a rate counts; and failures in a row that open it, whatever came before."""

    failure_percent: int = 50
    slow_percent: int = 80
    """From this share of the window on, it opens."""

    slow_s: float = 60.0
    """A call that takes longer than so many seconds is slow: half of what a call may take unless
    its feature says otherwise."""

    open_s: float = 5.0
    """Seconds until a probe may be sent: after a trip, a probe that failed, trials that failed."""

    longest_open_s: float = 30.0
    """The open time doubles with each trip that follows a closing soon, up to this."""

    healthy_s: float = 60.0
    """A breaker that was closed for so long opens for the shortest time again."""

    together_s: float = 60.0
    """Models of one provider that fail within so many seconds of each other are its outage."""

    trials: int = 5
    """Trial calls that decide, after a probe was answered."""

    first_trials: int = 2
    """Trial calls that are let through before any of them is answered, unless some failed."""

    lease_s: float = 20.0
    """Seconds after which a probe or a trial call without a result makes room for another: its
    process may be dead, or Redis did not take its result. A result that comes later counts."""

    recheck_s: float = 2.0
    """Seconds until a call is to come back that found no room for a trial, or a probe under way."""

    per_s: int = 20
    """How many of the calls that wait are told to come back in one second. Each of them is a run of
    a job that ends at once: at a hundred a second a long queue takes two cores for itself."""

    @property
    def open_us(self) -> int:
        return round(self.open_s * SECOND)

    @property
    def longest_open_us(self) -> int:
        return round(self.longest_open_s * SECOND)

    @property
    def healthy_us(self) -> int:
        return round(self.healthy_s * SECOND)

    @property
    def together_us(self) -> int:
        return round(self.together_s * SECOND)

    @property
    def lease_us(self) -> int:
        return round(self.lease_s * SECOND)

    @property
    def recheck_us(self) -> int:
        return round(self.recheck_s * SECOND)

    @property
    def spacing_us(self) -> int:
        return SECOND // self.per_s

    def arguments(self) -> dict[str, int]:
        """The policy for the Lua scripts; times in microseconds, `keep_ms` in milliseconds."""
        return {
            "size": self.size,
            "minimum": self.minimum,
            "failure_percent": self.failure_percent,
            "slow_percent": self.slow_percent,
            "open": self.open_us,
            "longest": self.longest_open_us,
            "healthy": self.healthy_us,
            "together": self.together_us,
            "trials": self.trials,
            "first_trials": self.first_trials,
            "most_flaps": MOST_FLAPS,
            "lease": self.lease_us,
            "recheck": self.recheck_us,
            "spacing": self.spacing_us,
            "keep_ms": KEEP_MS,
        }


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


def outcome_of_probe(error: BaseException) -> str:
    """The digit of a probe that failed; '' where it says nothing about the provider.

    Its own deadline counts: it is tiny, and any provider that is well answers it sooner. So does an
    answer that cannot be read: its text is ours, so no input of a user causes that, and the next
    one, which is counted at its bound as well, waits for the open time. A status that rejects it is
    an answer. Otherwise a model that accepts no such call could never close.
    """
    if not isinstance(error, InferenceError) or isinstance(error, Cancelled | RateLimited):
        return ""
    if isinstance(error, DeadlineReached | AnswerGarbled) or error.provider_failure:
        return "1"
    return "0" if isinstance(error, AnswerUnusable) or error.status is not None else ""


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
class BreakerDecision:
    """What a breaker says to one call."""

    way: Way
    wait: int = 0
    """Microseconds until it is to come back, if it may not go."""

    since: int = NEVER
    """The state that its result counts in; NEVER: it counts by its lease."""

    change: Change | None = None


@dataclass(slots=True)
class BreakerModel:
    """The same steps in plain Python: one breaker of one process. Not safe for threads by itself.

    Times are microseconds since any fixed moment.
    """

    policy: BreakerPolicy
    model: str = ""
    trips: BreakerTrips = field(default_factory=BreakerTrips)
    """Of all models; shared with their breakers."""

    state: State = "closed"
    since: int = 0
    ring: str = ""
    results: str = ""
    open_until: int = 0
    next: int = 0
    held: int = 0
    """As `next`, for calls that come while a person holds it open."""

    flaps: int = 0
    """Trips in a row that followed a closing soon."""

    wary: bool = False
    """Trial calls failed since it was closed last: from then on the first one goes alone."""

    trying: bool = False
    """Half open, and a probe was answered: trial calls go through."""

    proved: int = 0
    """When a probe was answered last."""

    trusted: int = 0
    """When trial calls went well last."""

    probes: dict[str, int] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)
    answering: set[str] = field(default_factory=set)
    """Trial calls whose answer has begun."""

    def way(self, *, now: int, fallback: bool = False) -> Way:
        """How a call may go. Changes nothing.

        Args:
            now: The moment.
            fallback: The call comes from another model, whose breaker is open. Since that one
                opened, this one has to answer a probe and trial calls first.
        """
        if self.state == "open":
            return "probe" if now >= self.open_until else "wait"
        tried, proved = False, self.trying
        if self.state == "closed":
            doubted = self.trips.first_of_others(self.model) if fallback else 0
            tried, proved = self.trusted >= doubted, self.proved >= doubted
        if tried:
            return "call"
        if not proved:
            return "wait" if _live(self.probes, now) else "probe"
        room = self._first_trials + 2 * (_answered(self.results) + len(self.answering))
        return "trial" if _live(self.trials, now) + len(self.results) < room else "wait"

    def admit(
        self,
        lease: str,
        *,
        now: int,
        farthest: int,
        fallback: bool = False,
        held_open: bool = False,
    ) -> BreakerDecision:
        """Let a call or its probe through, or say when to come back, at most `farthest` from now.

        A `probe` waits too: what it says is how long a call waits beside it. While an operator
        holds it open, nobody knows for how long: a call looks again after the usual open time.
        """
        way, change = "wait" if held_open else self.way(now=now, fallback=fallback), None
        if way == "wait":
            opens_in = self.open_until - now if self.state == "open" else self.policy.recheck_us
            if held_open:
                wait = min(max(self.held - now, self.policy.open_us), farthest)
                self.held = now + wait + self.policy.spacing_us
                return BreakerDecision(way, wait)
            wait = min(max(self.next - now, opens_in), farthest)
            self.next = now + wait + self.policy.spacing_us
            return BreakerDecision(way, wait)
        if way == "call":
            return BreakerDecision(way, since=self.since)
        if self.state == "open":
            change = Change("open", "half_open")
            self._become("half_open", now)
        leases = self.trials if way == "trial" else self.probes
        leases[lease] = now + self.policy.lease_us
        return BreakerDecision(way, self.policy.recheck_us if way == "probe" else 0, change=change)

    def begun(self, lease: str) -> None:
        """The answer of a trial call has begun: there is room for more of them."""
        if lease in self.trials:
            self.answering.add(lease)

    def record(self, lease: str, since: int, outcome: str, *, now: int) -> Change | None:
        """A call ended; '' is no verdict. Returns the change it made, if any."""
        if self.probes.pop(lease, None) is not None:
            return self._probed(outcome, now)
        if self.trials.pop(lease, None) is not None:
            self.answering.discard(lease)
            return self._tried(outcome, now)
        if self.state != "closed" or not outcome or since != self.since:
            return None
        self.ring = (self.ring + outcome)[-self.policy.size :]
        if len(self.ring) < self.policy.minimum or not self._bad(self.ring):
            return None
        return self._decided(self.ring, now)

    @property
    def _first_trials(self) -> int:
        return 1 if self.wary else self.policy.first_trials

    def _bad(self, ring: str) -> bool:
        calls, failed, slow = rates(ring)
        minimum = self.policy.minimum
        return (
            failed * 100 >= self.policy.failure_percent * calls
            or rates(ring[-minimum:])[1] == minimum
            or slow * 100 >= self.policy.slow_percent * calls
        )

    def _probed(self, outcome: str, now: int) -> Change | None:
        if not outcome:
            return None
        if _answered(outcome):
            self.proved, self.results = now, ""
            self.trying = self.state == "half_open"
            return None
        return self._open(self.ring if self.state == "half_open" else outcome, outcome, now)

    def _tried(self, outcome: str, now: int) -> Change | None:
        self.results += outcome
        enough = self._first_trials + 2 * _answered(self.results)
        if not outcome or len(self.results) < min(self.policy.trials, enough):
            return None
        if self.state == "closed" and not self._bad(self.results):
            self.trusted, self.results = now, ""
            return None
        return self._decided(self.results, now)

    def _decided(self, ring: str, now: int) -> Change:
        before = self.state
        if self._bad(ring):
            if before == "half_open":
                self.wary = True
                return self._open(ring, ring, now)
            soon = self.since > 0 and now - self.since < self.policy.healthy_us
            self.flaps = self.flaps + 1 if soon else 0
            longest = self.policy.longest_open_us
            open_us = min(self.policy.open_us * 2 ** min(self.flaps, MOST_FLAPS), longest)
            return self._open(ring, ring, now, open_us)
        self._become("closed", now)
        self.wary = False
        self.trusted = now
        self.ring, self.open_until, self.next = "", 0, 0
        self.trips.closed(self.model)
        return Change(before, "closed", *rates(ring))

    def _open(self, ring: str, decisive: str, now: int, open_us: int | None = None) -> Change:
        before = self.state
        self._become("open", now)
        self.ring = ring
        self.open_until = now + (self.policy.open_us if open_us is None else open_us)
        self.trips.failed(self.model, now=now, together_us=self.policy.together_us)
        return Change(before, "open", *rates(decisive))

    def _become(self, state: State, now: int) -> None:
        self.state, self.since, self.results, self.trying = state, now, "", False
        for leases in (self.probes, self.trials, self.answering):
            leases.clear()


def _live(leases: Mapping[str, int], now: int) -> int:
    return sum(until > now for until in leases.values())


def _answered(results: str) -> int:
    return results.count("0") + results.count("2")


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

    trials: int
    """Trial calls under way."""

    shared: bool
    """Whether it is that of all processes; False: Redis is away and it is this process's own."""


def view(
    model: str, fields: Mapping[str, str], *, forced: Forced, now: int, shared: bool = True
) -> BreakerView:
    """A breaker from its hash at a moment in microseconds."""
    found = fields.get("state", "closed")
    state: State = "open" if found == "open" else "half_open" if found == "half_open" else "closed"
    calls, failed, slow = rates(fields.get("ring", ""))
    left = int(fields.get("until", 0)) - now if state == "open" else 0
    return BreakerView(
        model=model,
        state=state,
        forced=forced,
        calls=calls,
        failure_rate=failed / calls if calls else 0.0,
        slow_rate=slow / calls if calls else 0.0,
        open_for_s=max(left, 0) / SECOND,
        probes=_live(_leases(fields, "p:"), now),
        trials=_live(_leases(fields, "t:"), now),
        shared=shared,
    )


def fields_of(breaker: BreakerModel) -> dict[str, str]:
    """The hash that stands for a breaker of a process."""
    probes = {f"p:{name}": str(until) for name, until in breaker.probes.items()}
    trials = {f"t:{name}": str(until) for name, until in breaker.trials.items()}
    return {
        "state": breaker.state,
        "ring": breaker.ring,
        "until": str(breaker.open_until),
        **probes,
        **trials,
    }


def _leases(fields: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {name: int(value) for name, value in fields.items() if name.startswith(prefix)}
