"""The schedule of faults: a pure function of the seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LEASE_S: Final = 15
"""The default of LEASE_SECONDS. With it, jobs of a lost worker run again within 30 s."""

PROVIDER_IDLE_S: Final = 5
"""PROVIDER_IDLE_TIMEOUT of the workers: a stalled call ends before its storm."""

LLM_WORKERS: Final = ("llm-1", "llm-2")


class Kind(StrEnum):
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
"""The provider fails almost every call: an error, a time-out of its own or of a proxy, or silence.
They last until the breakers of several models have opened."""

STORMS: Final = DOWN | {
    *(Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.STALL),
    *(Kind.CONNECTION_CUT, Kind.STREAM_TRUNCATED, Kind.GARBLED_CHUNK),
}
"""Faults of the sandbox provider's fault plan."""

SWITCHES: Final = frozenset({Kind.SWITCH_HOLD, Kind.SWITCH_CANCEL})
"""An operator stops everything, and releases it later."""

REDIS_AWAY: Final = frozenset({Kind.VALKEY_KILL, Kind.REDIS_DROP, Kind.REDIS_FREEZE})
POSTGRES_AWAY: Final = frozenset({Kind.POSTGRES_CRASH, Kind.POSTGRES_DROP, Kind.POSTGRES_FREEZE})
PROVIDER_AWAY: Final = frozenset({Kind.PROVIDER_DROP, Kind.PROVIDER_FREEZE})

WEB_FREEZES: Final = frozenset({Kind.WEB_STOP, Kind.WEB_CHILD_STOP})

NOTIFIES_S: Final = 30.0
"""Interval in seconds at which a web child notifies gunicorn: half of gunicorn's time-out
(deploy/gunicorn.conf.py). Gunicorn kills a child that is silent for the whole time-out."""

_LATE_S: Final = 3.0
"""Delay of a notification on a busy machine."""

PARTLY_S: Final = 3.0
"""Seconds for which a held switch is released for some users only."""

EARLY: Final = (0.1, 0.25)
"""When a short run cancels the waiting jobs, as shares of its span."""

_Span = tuple[float, float]
_Made = tuple[float, Kind, str, float, tuple[str, ...]]
"""Start, kind, target, duration and needs."""


@dataclass(frozen=True, slots=True)
class Manner:
    """Durations and needs of a kind of fault."""

    lasts_s: tuple[float, float]
    """Shortest and longest duration in a long run."""

    short_s: float
    """Duration in a short run."""

    needs: tuple[str, ...]
    """Parts that may have no other fault at the same time."""

    recovers_s: float = 0.0
    """Seconds until the part works again afterwards, about."""


_PAST_LEASE = (LEASE_S + 3.0, LEASE_S + 12.0)
_OUTAGE = (8.0, 45.0)
"""The longest exceed the time-outs of keepalive and TCP_USER_TIMEOUT."""

_STORM = Manner((8.0, 25.0), 6.0, ())
_DOWN = Manner((15.0, 40.0), 10.0, ())
"""Until half of the last fifty calls of one model have failed, and ten of the next."""

_SILENT = Manner((25.0, 45.0), 18.0, ())
"""The same for calls that fail after `PROVIDER_IDLE_S`."""

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
    number: int
    kind: Kind
    target: str
    """The process or part that it hits."""

    at_s: float
    """Seconds after the start of the users."""

    lasts_s: float
    needs: tuple[str, ...]

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.0f} s" if self.lasts_s else ""
        return f"{self.number:>3}  {self.at_s:6.1f} s  {self.kind} ({self.target}){lasts}"


def schedule(*, seed: int, count: int, span_s: float, short: bool) -> list[Fault]:
    """Return the faults of a run, by time: each kind at least once, the others at random.

    Two faults never hit the same target at the same time. Faults for which the span has no room
    come after it. `count` is raised to the number of kinds. With `short`, each fault has its
    shortest useful duration.
    """
    dice = random.Random(seed)
    kinds = list(Kind) + dice.choices(list(Kind), k=max(0, count - len(Kind)))
    dice.shuffle(kinds)
    # Faults with the most needs come first; `sorted` keeps the random order otherwise.
    order = sorted(range(len(kinds)), key=lambda n: -len(MANNERS[kinds[n]].needs))
    if not short:  # one flip comes last, to be placed in an outage of Redis
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
        if short and kind is Kind.SWITCH_CANCEL:  # later it would cancel half of all jobs
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
    """Return the least seconds between the starts of two freezes of a web child.

    The child then notifies gunicorn in between. It survives two short ones without.
    """
    survives_s = NOTIFIES_S - _LATE_S
    return 0.0 if one_lasts_s + other_lasts_s <= survives_s else NOTIFIES_S + _LATE_S


def _near_freezes(made: Sequence[_Made], lasts: float, taken: float) -> list[_Span]:
    """Return the spans in which a freeze may not start, because another one is too near."""
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
    """Return a start and a duration within one of the outages."""
    lasts = manner.lasts_s[0]
    for begin, end in sorted(outages, key=lambda span: span[0] - span[1]):
        at = begin + 1.0
        taken = lasts + manner.recovers_s
        if at + lasts < end and all(at >= b or at + taken <= a for a, b in busy):
            return at, lasts
    return wished, lasts


def _room(wished: float, taken: float, busy: Sequence[tuple[float, float]], span_s: float) -> float:
    """Return a start: soon after the wished one, otherwise any in the span, otherwise after it."""
    ends = sorted(end for _, end in busy)
    starts = [wished, *(end for end in ends if end > wished), 0.0, *ends]
    free = [
        start
        for start in starts
        if all(start >= end or start + taken <= begin for begin, end in busy)
    ]
    return next((start for start in free if start + taken <= span_s), max(free))
