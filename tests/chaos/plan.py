"""Which fault comes when: a pure function of the seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LEASE_S: Final = 15
"""The default of LEASE_SECONDS, under which the promised rescue of 30 s is to hold."""

PROVIDER_IDLE_S: Final = 5
"""PROVIDER_IDLE_TIMEOUT of the workers: a call that stalls must not outlast its storm."""

LLM_WORKERS: Final = ("llm-1", "llm-2")


class Kind(StrEnum):
    """Every way in which we make the system suffer."""

    LLM_KILL = "llm_kill"
    LLM_STOP = "llm_stop"
    WEB_CHILD_KILL = "web_child_kill"
    WEB_CHILD_STOP = "web_child_stop"
    WEB_KILL = "web_kill"
    WEB_STOP = "web_stop"
    CONTROL_KILL = "control_kill"
    CONTROL_STOP = "control_stop"
    BEAT_KILL = "beat_kill"
    BEAT_STOP = "beat_stop"
    TWO_BEATS = "two_beats"
    ROLLING_RESTART = "rolling_restart"
    VALKEY_KILL = "valkey_kill"
    VALKEY_FLUSH = "valkey_flush"
    POSTGRES_CRASH = "postgres_crash"
    REDIS_DROP = "redis_drop"
    REDIS_FREEZE = "redis_freeze"
    POSTGRES_DROP = "postgres_drop"
    POSTGRES_FREEZE = "postgres_freeze"
    PROVIDER_DROP = "provider_drop"
    PROVIDER_FREEZE = "provider_freeze"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    STALL = "stall"
    CONNECTION_CUT = "connection_cut"
    STREAM_TRUNCATED = "stream_truncated"
    GARBLED_CHUNK = "garbled_chunk"
    API_ERROR = "api_error"
    GATEWAY_TIMEOUT = "gateway_timeout"
    SILENCE = "silence"
    SWITCH_HOLD = "switch_hold"
    SWITCH_CANCEL = "switch_cancel"


DOWN: Final = frozenset({Kind.API_ERROR, Kind.GATEWAY_TIMEOUT, Kind.SILENCE})
"""The provider answers almost nobody: with an error of its own, with a time-out of its own or of a
proxy in between, or without a byte. They last until the breakers of several models have opened."""

STORMS: Final = DOWN | {
    *(Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.STALL),
    *(Kind.CONNECTION_CUT, Kind.STREAM_TRUNCATED, Kind.GARBLED_CHUNK),
}
"""What the sandbox provider does by its fault plan."""


SWITCHES: Final = frozenset({Kind.SWITCH_HOLD, Kind.SWITCH_CANCEL})
"""No fault but a deed of ours: all stops at once, and goes on when a person lets it."""

REDIS_AWAY: Final = frozenset({Kind.VALKEY_KILL, Kind.REDIS_DROP, Kind.REDIS_FREEZE})
POSTGRES_AWAY: Final = frozenset({Kind.POSTGRES_CRASH, Kind.POSTGRES_DROP, Kind.POSTGRES_FREEZE})
PROVIDER_AWAY: Final = frozenset({Kind.PROVIDER_DROP, Kind.PROVIDER_FREEZE})

WEB_FREEZES: Final = frozenset({Kind.WEB_STOP, Kind.WEB_CHILD_STOP})

NOTIFIES_S: Final = 30.0
"""A web child shows gunicorn a sign of life after so many seconds, half of gunicorn's time-out
(deploy/gunicorn.conf.py). One without a sign for the whole time-out is killed."""

_LATE_S: Final = 3.0
"""By how much a sign of life may be late on a busy machine."""

PARTLY_S: Final = 3.0
"""How long a switch that held is released for some users only, before it is for all."""


EARLY: Final = (0.1, 0.25)
"""When in a short run the jobs that wait are cancelled, as a share of its span."""

_Span = tuple[float, float]
_Made = tuple[float, Kind, str, float, tuple[str, ...]]
"""Begin, kind, target, duration and needs."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a kind of fault is carried out."""

    lasts_s: tuple[float, float]
    """Shortest and longest in a long run: until the stopped goes on, the dead is started."""

    short_s: float
    """How long in a short run."""

    needs: tuple[str, ...]
    """What must not suffer another fault at the same time."""

    recovers_s: float = 0.0
    """How long it takes to be back afterwards, about."""


_PAST_LEASE = (LEASE_S + 3.0, LEASE_S + 12.0)
_OUTAGE = (8.0, 45.0)
"""Up to past the time in which keepalive and user time-outs notice."""

_STORM = Manner((8.0, 25.0), 6.0, ())
_DOWN = Manner((15.0, 40.0), 10.0, ())
"""Until half of the last fifty calls of one model have failed, and ten of the next."""

_SILENT = Manner((25.0, 45.0), 18.0, ())
"""The same for calls that fail only after `PROVIDER_IDLE_S`."""

MANNERS: Final[dict[Kind, Manner]] = {
    Kind.LLM_KILL: Manner((0.0, 0.0), 0.0, ("llm",), 8.0),
    Kind.LLM_STOP: Manner(_PAST_LEASE, LEASE_S + 3.0, ("llm",), 1.0),
    Kind.WEB_CHILD_KILL: Manner((0.0, 0.0), 0.0, ("web",), 4.0),
    Kind.WEB_CHILD_STOP: Manner(_PAST_LEASE, 5.0, ("web",), 1.0),
    Kind.WEB_KILL: Manner((0.0, 0.0), 0.0, ("web",), 8.0),
    Kind.WEB_STOP: Manner(_PAST_LEASE, 5.0, ("web",), 1.0),
    Kind.CONTROL_KILL: Manner((0.0, 0.0), 0.0, ("control",), 6.0),
    Kind.CONTROL_STOP: Manner(_PAST_LEASE, LEASE_S + 3.0, ("control",), 1.0),
    Kind.BEAT_KILL: Manner((0.0, 0.0), 0.0, ("beat",), 6.0),
    Kind.BEAT_STOP: Manner(_PAST_LEASE, LEASE_S + 3.0, ("beat",), 1.0),
    Kind.TWO_BEATS: Manner((10.0, 30.0), 10.0, ("beat",), 3.0),
    Kind.ROLLING_RESTART: Manner((0.0, 0.0), 0.0, ("web", *LLM_WORKERS, "control", "beat"), 20.0),
    Kind.VALKEY_KILL: Manner((1.0, 10.0), 1.0, ("redis",), 1.0),
    Kind.VALKEY_FLUSH: Manner((0.0, 0.0), 0.0, ("redis",), 1.0),
    Kind.POSTGRES_CRASH: Manner((0.5, 8.0), 0.5, ("postgres",), 4.0),
    Kind.REDIS_DROP: Manner(_OUTAGE, 6.0, ("redis",), 2.0),
    Kind.REDIS_FREEZE: Manner(_OUTAGE, 6.0, ("redis",), 2.0),
    Kind.POSTGRES_DROP: Manner(_OUTAGE, 6.0, ("postgres",), 4.0),
    Kind.POSTGRES_FREEZE: Manner(_OUTAGE, 6.0, ("postgres",), 4.0),
    Kind.PROVIDER_DROP: Manner(_OUTAGE, 6.0, ("provider",), 2.0),
    Kind.PROVIDER_FREEZE: Manner(_OUTAGE, 6.0, ("provider",), 2.0),
    **dict.fromkeys(sorted(STORMS - DOWN), _STORM),
    **dict.fromkeys(sorted(DOWN), _DOWN),
    Kind.SILENCE: _SILENT,
    Kind.SWITCH_HOLD: Manner((4.0, 10.0), 3.5, ("switch",), PARTLY_S + 1.0),
    Kind.SWITCH_CANCEL: Manner((4.0, 10.0), 3.5, ("switch",), 1.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a run."""

    number: int
    kind: Kind
    target: str
    """The process it hits, or what its kind is about."""

    at_s: float
    """Seconds after the first users came."""

    lasts_s: float
    needs: tuple[str, ...]

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.0f} s" if self.lasts_s else ""
        return f"{self.number:>3}  {self.at_s:6.1f} s  {self.kind} ({self.target}){lasts}"


def schedule(*, seed: int, count: int, span_s: float, short: bool) -> list[Fault]:
    """The faults of a run, by time: each kind at least once, the rest as the dice fall.

    Two faults never hit the same target at once, and different targets as it comes. When the span
    is too crowded for that, the last ones come after it.

    Args:
        seed: The same gives the same faults.
        count: How many; no fewer than there are kinds are made.
        span_s: Over how many seconds they are spread.
        short: Whether each lasts only as long as it must.
    """
    dice = random.Random(seed)
    kinds = list(Kind) + dice.choices(list(Kind), k=max(0, count - len(Kind)))
    dice.shuffle(kinds)
    # What needs most finds room first; `sorted` keeps the order of the dice otherwise.
    order = sorted(range(len(kinds)), key=lambda n: -len(MANNERS[kinds[n]].needs))
    if not short:  # one flip while Redis is away: it comes last, when that is known
        last = next(n for n in order if kinds[n] is Kind.SWITCH_HOLD)
        order = [*(n for n in order if n != last), last]
    busy: dict[str, list[tuple[float, float]]] = defaultdict(list)
    made: list[_Made] = []
    for n in order:
        kind, manner = kinds[n], MANNERS[kinds[n]]
        lasts = manner.short_s if short else round(dice.uniform(*manner.lasts_s), 1)
        worker = dice.choice(LLM_WORKERS)
        needs = tuple(worker if need == "llm" else need for need in manner.needs)
        target = "everything" if len(needs) > 1 else (*needs, "provider")[0]
        wished = span_s * (n + dice.random()) / len(kinds)
        if short and kind is Kind.SWITCH_CANCEL:  # later it would end half of all jobs
            wished = span_s * dice.uniform(*EARLY)
        if not short and n == order[-1]:
            wished, lasts = _within(_outages(made), busy["switch"], MANNERS[kind], wished)
        taken = lasts + manner.recovers_s
        spans = [span for need in needs for span in busy[need]]
        if kind in WEB_FREEZES:
            spans += _near_freezes(made, lasts, taken)
        at = _room(wished, taken, spans, span_s)
        for need in needs:
            busy[need].append((at, at + taken))
        made.append((round(at, 1), kind, target, lasts, needs))
    return [
        Fault(number, kind, target, at, lasts, needs)
        for number, (at, kind, target, lasts, needs) in enumerate(sorted(made), 1)
    ]


def freezes_apart_s(one_lasts_s: float, other_lasts_s: float) -> float:
    """Seconds from the begin of one freeze of a web child to the begin of the next, at least.

    Then the child shows a sign of life in between. Two short ones it survives without.
    """
    survives_s = NOTIFIES_S - _LATE_S
    return 0.0 if one_lasts_s + other_lasts_s <= survives_s else NOTIFIES_S + _LATE_S


def _near_freezes(made: Sequence[_Made], lasts: float, taken: float) -> list[_Span]:
    """When a freeze that lasts so long, and takes so long in all, is too near to another."""
    spans = []
    for at, kind, _, other_lasts, _ in made:
        if kind in WEB_FREEZES and (apart := freezes_apart_s(other_lasts, lasts)):
            spans.append((at - max(0.0, apart - taken), at + apart))
    return spans


def _outages(made: Sequence[_Made]) -> list[_Span]:
    return [(at, at + lasts) for at, kind, _, lasts, _ in made if kind in REDIS_AWAY]


def _within(
    outages: Sequence[_Span], busy: Sequence[_Span], manner: Manner, wished: float
) -> tuple[float, float]:
    """When it may begin, and how long it may last, to lie in one of the outages."""
    lasts = manner.lasts_s[0]
    for begin, end in sorted(outages, key=lambda span: span[0] - span[1]):
        at = begin + 1.0
        taken = lasts + manner.recovers_s
        if at + lasts < end and all(at >= b or at + taken <= a for a, b in busy):
            return at, lasts
    return wished, lasts


def _room(wished: float, taken: float, busy: Sequence[tuple[float, float]], span_s: float) -> float:
    """When it can begin: as soon as possible after the wish, else anywhere, else after the span."""
    ends = sorted(end for _, end in busy)
    starts = [wished, *(end for end in ends if end > wished), 0.0, *ends]
    free = [
        start
        for start in starts
        if all(start >= end or start + taken <= begin for begin, end in busy)
    ]
    return next((start for start in free if start + taken <= span_s), max(free))
