"""A circuit breaker per model, with the semantics of resilience4j.

It has a count-based window of the last calls. From a minimum number of calls on, it opens when the
rate of failed or slow calls reaches its threshold. Differences from resilience4j:

- The minimum number of failures in a row also opens it. Otherwise earlier successes in the window
  would delay opening when every call fails.
- After the open time one probe at a time is sent: a tiny call of our own, never a job's call. An
  unanswered job call counts at its bound, which may be ten thousand times as much.
- After an answered probe, trial calls are admitted: two, and two more for each one whose answer has
  begun or is complete. The rates of the first few decide. So a provider that answers tiny calls and
  fails large ones gets only a few, and if it works again, users do not wait.
- After failed trial calls, the next one runs alone until the breaker closes. This allows the short
  open time: one large call every few seconds costs less than two every half minute, and users are
  served seconds after the provider recovers.
- Calls that fall back from a model with an open breaker need a probe and trial calls first. If the
  next, more expensive model is down too, one tiny call fails instead of ten jobs.
- Probes and trial calls have a lease, so that a dead process does not keep its place.
- A result counts only in the breaker state that admitted its call. Late results of an outage do not
  count after it.
- A breaker that opens again soon after it closed stays open twice as long, up to a limit. A failed
  probe or trial does not double the open time, so that recovery is noticed early.

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
"""Decision about a call: run as usual, run as a trial call, send a probe first, or wait."""

SECOND: Final = 1_000_000

NEVER: Final = -1
"""A `since` that matches no state."""

KEEP_MS: Final = 3_600_000
"""Milliseconds for which Redis keeps an idle breaker."""

MOST_FLAPS: Final = 10
"""Most doublings of the open time."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Thresholds and times of a breaker."""

    size: int = 50
    """Calls in the sliding window."""

    minimum: int = 10
    """Calls before a rate counts. The same number of failures in a row opens the breaker."""

    failure_percent: int = 50
    slow_percent: int = 80
    """Share of failed or slow calls in the window from which on it opens."""

    slow_s: float = 60.0
    """A call that takes more seconds is slow. This is half of the default deadline of a call."""

    open_s: float = 5.0
    """Seconds until a probe may be sent, after a trip, a failed probe or failed trial calls."""

    longest_open_s: float = 30.0
    """Limit of the open time, which doubles with each trip soon after closing."""

    healthy_s: float = 60.0
    """After this many seconds closed, a breaker opens for the shortest time again."""

    together_s: float = 60.0
    """Two models of a provider that fail within this many seconds are an outage."""

    trials: int = 5
    """Trial calls that decide, after an answered probe."""

    first_trials: int = 2
    """Trial calls that are admitted before one is answered. Only 1 after failed trial calls."""

    lease_s: float = 20.0
    """Seconds after which a probe or trial call without a result frees its place. Its process may
    be dead, or Redis did not store the result. A later result still counts."""

    recheck_s: float = 2.0
    """Seconds until a retry if there is no room for a trial call, or a probe is in flight."""

    per_s: int = 20
    """Waiting calls that retry in one second. Each retry is a short run of a job: with a hundred
    per second, a long queue would occupy two cores."""

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
        """Return the policy for the Lua scripts: microseconds, and `keep_ms` in milliseconds."""
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
    """Return the digit of a complete answer (see `lua/breaker.lua`)."""
    return "2" if _slow(policy, latency_ms) else "0"


def outcome_of_failure(policy: BreakerPolicy, error: BaseException) -> str:
    """Return the digit of a failed call. '' if the failure is no evidence about the provider.

    Our own aborts and defects, 4xx and rate limits are no evidence. A deadline counts as slow and
    failed only if the call had at least `slow_s`; near its job's deadline it may get less. A
    refused or truncated answer is an answer: the provider works.
    """
    if not isinstance(error, InferenceError):
        return ""
    if isinstance(error, AnswerUnusable):
        return outcome_of_success(policy, error.latency_ms)
    if isinstance(error, DeadlineReached):
        # `>=`, because a deadline of exactly `slow_s` may be reached in its last millisecond.
        return "3" if error.latency_ms >= policy.slow_s * 1000 else ""
    if not error.provider_failure:
        return ""
    return "3" if _slow(policy, error.latency_ms) else "1"


def outcome_of_probe(error: BaseException) -> str:
    """Return the digit of a failed probe. '' if the failure is no evidence about the provider.

    Its own deadline counts, because a working provider answers a tiny call sooner. So does a
    garbled answer: the prompt is ours, so no user input causes it, and the next probe, also counted
    at its bound, waits for the open time. A rejection is an answer. Otherwise the breaker of a
    model that rejects probes could never close.
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
    """A state change. `calls`, `failed` and `slow` are the counts that caused it, if any."""

    before: State
    after: State
    calls: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class BreakerDecision:
    """A breaker's decision about one call."""

    way: Way
    wait: int = 0
    """Microseconds until a retry, if the call is not admitted."""

    since: int = NEVER
    """Start of the state in which its result counts. NEVER: it counts by its lease."""

    change: Change | None = None


@dataclass(slots=True)
class BreakerModel:
    """One breaker of one process. Not thread-safe. Times are microseconds of any clock."""

    policy: BreakerPolicy
    model: str = ""
    trips: BreakerTrips = field(default_factory=BreakerTrips)
    state: State = "closed"
    since: int = 0
    ring: str = ""
    results: str = ""
    open_until: int = 0
    next: int = 0
    held: int = 0
    """Same as `next`, for calls while an operator forces it open."""

    flaps: int = 0
    """Trips in a row that were soon after closing."""

    wary: bool = False
    """Trial calls failed since the last closing: only one trial call runs at first."""

    trying: bool = False
    """Half open with an answered probe: trial calls are admitted."""

    proved: int = 0
    """Time of the last answered probe."""

    trusted: int = 0
    """Time of the last successful trial calls."""

    probes: dict[str, int] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)
    answering: set[str] = field(default_factory=set)
    """Trial calls whose answer has begun."""

    def way(self, *, now: int, fallback: bool = False) -> Way:
        """Return what a call may do. Changes nothing.

        `fallback`: the call comes from a model with an open breaker. This model must have answered
        a probe and trial calls since that breaker opened.
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
        """Admit a call or its probe, or return when to retry, at most `farthest` from now.

        With a `probe`, `wait` is the wait of the call itself. While an operator forces the breaker
        open, the end is unknown, so a call retries after the usual open time.
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
        """Record that the answer of a trial call has begun. More trial calls are admitted."""
        if lease in self.trials:
            self.answering.add(lease)

    def record(self, lease: str, since: int, outcome: str, *, now: int) -> Change | None:
        """Record the end of a call, '' for no verdict. Return the change it caused, if any."""
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
    """Return the numbers of all, failed and slow calls in a string of outcomes."""
    return (
        len(ring),
        ring.count("1") + ring.count("3"),
        ring.count("2") + ring.count("3"),
    )


@dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker's state for display."""

    model: str
    state: State
    forced: Forced
    calls: int
    """Calls in the window. If open, calls in the window that opened it."""

    failure_rate: float
    slow_rate: float
    """Shares of the calls, 0 to 1."""

    open_for_s: float
    """Seconds until a probe may be sent; 0 if not open."""

    probes: int
    trials: int
    """Probes and trial calls in flight."""

    probe_due: bool
    """Whether the next call would first send a probe."""

    unused_s: float
    """Seconds since an answered probe or the latest trial call while calls are admitted again, but
    too few came to close it; 0 otherwise."""

    shared: bool
    """Whether all processes share it. False: this process's own, while Redis is unavailable."""


def view(
    model: str, fields: Mapping[str, str], *, forced: Forced, now: int, shared: bool = True
) -> BreakerView:
    """Return a breaker's view from its hash. `now` is in microseconds."""
    found = fields.get("state", "closed")
    state: State = "open" if found == "open" else "half_open" if found == "half_open" else "closed"
    calls, failed, slow = rates(fields.get("ring", ""))
    left = int(fields.get("until", 0)) - now if state == "open" else 0
    probes, trials = _leases(fields, "p:"), _leases(fields, "t:")
    trying = bool(fields.get("trying"))
    untried = state == "half_open" and not trying
    used = max(int(fields.get("proved", 0)), *trials.values(), 0) if trying else now
    return BreakerView(
        model=model,
        state=state,
        forced=forced,
        calls=calls,
        failure_rate=failed / calls if calls else 0.0,
        slow_rate=slow / calls if calls else 0.0,
        open_for_s=max(left, 0) / SECOND,
        probes=_live(probes, now),
        trials=_live(trials, now),
        probe_due=left <= 0 if state == "open" else untried and not _live(probes, now),
        unused_s=max(now - used, 0) / SECOND,
        shared=shared,
    )


def fields_of(breaker: BreakerModel) -> dict[str, str]:
    """Return a process's breaker in the form of the Redis hash."""
    probes = {f"p:{name}": str(until) for name, until in breaker.probes.items()}
    trials = {f"t:{name}": str(until) for name, until in breaker.trials.items()}
    return {
        "state": breaker.state,
        "ring": breaker.ring,
        "until": str(breaker.open_until),
        "trying": "1" if breaker.trying else "",
        "proved": str(breaker.proved),
        **probes,
        **trials,
    }


def _leases(fields: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {name: int(value) for name, value in fields.items() if name.startswith(prefix)}
