"""Limits: who is refused by a rate, a cap or the switch was really over it, and was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import Evidence
from tests.chaos.plan import REDIS_AWAY, Kind
from tests.chaos.request_log import NOTED, Entry

MINUTE_S: Final = 60.0
LATE_S: Final = 1.5
"""How old what a process goes by may be: controls, caps, and the way of an answer."""

SITE_WINDOW_S: Final = 5.0
SITE_BURST: Final = 49
ADDRESS_FACTOR: Final = 5
"""By default a web process takes 50 requests of a user at once, ten more each second, and five
times as many of an address whose users it does not know yet."""

HELD_UP_BY: Final = frozenset(
    {
        *(Kind.WEB_STOP, Kind.WEB_CHILD_STOP, Kind.WEB_KILL, Kind.WEB_CHILD_KILL),
        *(Kind.POSTGRES_CRASH, Kind.POSTGRES_DROP, Kind.POSTGRES_FREEZE),
        Kind.ROLLING_RESTART,
    }
)
HELD_UP_S: Final = 20.0
"""Requests that came during an outage wait for ten seconds at most, and those behind them too."""

REDIS_BACK_S: Final = 3.0
"""So long after an outage of Redis processes may still go by their own buckets."""


def refusals_are_explained(evidence: Evidence) -> Iterator[Violation]:
    """Nobody is refused without a reason that the evidence knows of."""
    for entry in evidence.diary:
        reason = REASONS.get(entry.problem)
        if reason is None and entry.http != 429:
            continue
        if reason is None or not reason(evidence, entry):
            text = f"{entry.deed}: {entry.http} {entry.problem} of user {entry.user}"
            yield Violation(Promise.HTTP, f"{text} at {entry.begun:.3f}", entry.job)


def answers_tell_what_is_left(evidence: Evidence) -> Iterator[Violation]:
    """Who was refused by a rate reads that nothing is left; who was accepted, what is."""
    for entry in evidence.diary:
        if entry.deed != "submit" or entry.http not in {202, 429}:
            continue
        left = entry.left or ""
        if not left or (entry.problem == "rate_limited" and ";r=0;" not in left):
            text = f"submit: {entry.http} {entry.problem}, RateLimit: {left or 'none'}"
            yield Violation(Promise.HTTP, f"{text}, at {entry.begun:.3f}", entry.job)


def _too_fast(evidence: Evidence, entry: Entry) -> bool:
    """Whether the user's bucket can be empty: a minute's worth was taken within the last minute."""
    if entry.deed != "submit" or (entry.left or "").startswith('"site"'):
        return _site_is_flooded(evidence, entry)
    if entry.user in evidence.throttled:
        return True
    if entry.user not in evidence.hasty:
        return False
    if any(
        fault.kind in REDIS_AWAY
        and fault.begun <= entry.at
        and entry.begun <= (fault.ended or entry.at) + REDIS_BACK_S
        for fault in evidence.faults
    ):
        return True
    taken = sum(
        other.deed in {"submit", "conflict"}
        and other.http != 429
        and other.user == entry.user
        and entry.begun - MINUTE_S - LATE_S <= other.at
        and other.begun <= entry.at
        for other in evidence.diary
    )
    return taken >= evidence.hasty[entry.user]


def _site_is_flooded(evidence: Evidence, entry: Entry) -> bool:
    """Whether this user, or the address of all, sent a bucket's worth in the time it fills in."""
    users = Counter(
        other.user
        for other in evidence.diary
        if other.deed not in NOTED
        and other.begun <= entry.at
        and entry.begun - SITE_WINDOW_S - LATE_S <= other.at
    )
    return users[entry.user] >= SITE_BURST or users.total() >= SITE_BURST * ADDRESS_FACTOR


def _own_budget_is_used_up(evidence: Evidence, entry: Entry) -> bool:
    """Charges and own spend only grow: a budget that was used up then still is."""
    return any(
        window.spent_micro >= (window.cap_micro or 0)
        or (window.own_over_micro is not None and window.own_over_micro >= 0)
        for window in evidence.windows
        if window.scope == "user" and window.key.endswith(f":{entry.user}")
    )


def _a_cap_is_reached(evidence: Evidence, entry: Entry) -> bool:
    """What the ledger had spent by then, against the caps as a process may have read them."""
    spent = sum(
        attempt.spend_micro
        for attempt in evidence.attempts
        if attempt.ended_at is not None and attempt.ended_at <= entry.at
    )
    known: dict[str, int] = {}
    for cap in evidence.caps:
        if cap.at <= entry.begun - LATE_S:
            known[cap.scope] = cap.micro
    return any(spent >= micro for micro in known.values())


def _is_stopped(evidence: Evidence, entry: Entry) -> bool:
    return any(
        flip.asked_at <= entry.at and entry.begun <= (flip.released_at or float("inf")) + LATE_S
        for _, flip in evidence.flips
    )


def _reads_a_stream(_evidence: Evidence, entry: Entry) -> bool:
    """A user with many jobs reads more streams at once than one may."""
    return entry.deed == "streamed"


def _site_was_held_up(evidence: Evidence, entry: Entry) -> bool:
    """Deadlines are far longer than any queue of a run; but requests may have waited for a thread.

    They wait for ten seconds at most, and come from up to as long before.
    """
    return any(
        fault.kind in HELD_UP_BY
        and fault.begun <= entry.at
        and entry.begun <= (fault.ended or entry.at) + HELD_UP_S
        for fault in evidence.faults
    )


REASONS: Final[Mapping[str, Callable[[Evidence, Entry], bool]]] = {
    "rate_limited": _too_fast,
    "budget_exhausted": _own_budget_is_used_up,
    "budget_reached": _a_cap_is_reached,
    "feature_paused": _is_stopped,
    "too_many_streams": _reads_a_stream,
    "overloaded": _site_was_held_up,
}

CHECKS: Final = (refusals_are_explained, answers_tell_what_is_left)
