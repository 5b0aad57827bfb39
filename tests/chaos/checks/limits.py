"""Limits: each refused user was over the limit that the response names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Evidence
from tests.chaos.plan import POSTGRES_AWAY, REDIS_AWAY, WEB_FREEZES, Kind
from tests.chaos.request_log import NOTED, Entry

MINUTE_S: Final = 60.0
LATE_S: Final = 1.5
"""Maximum age of the controls and caps in a process, with the time that an answer takes."""

SITE_WINDOW_S: Final = 5.0
SITE_BURST: Final = 49
ADDRESS_FACTOR: Final = 5
"""By default a web process accepts a burst of 50 requests of a user, ten more each second, and five
times as many of an address whose users it has not identified yet."""

DELAYED_BY: Final = (
    WEB_FREEZES | POSTGRES_AWAY | {Kind.WEB_KILL, Kind.WEB_CHILD_KILL, Kind.ROLLING_RESTART}
)
DELAYED_S: Final = 20.0
"""Requests that arrived in an outage wait up to ten seconds, and so do those queued after them."""

REDIS_BACK_S: Final = 3.0
"""Seconds after an outage of Redis in which processes may still use their own buckets."""


@check
def refusals_are_explained(evidence: Evidence) -> Iterator[Violation]:
    """The evidence explains each refusal."""
    for entry in evidence.requests:
        reason = REASONS.get(entry.problem)
        if reason is None and entry.http != 429:
            continue
        if reason is None or not reason(evidence, entry):
            text = f"{entry.action}: {entry.http} {entry.problem} of user {entry.user}"
            yield Violation(Promise.HTTP, f"{text} at {entry.begun:.3f}", entry.job)


@check
def answers_show_the_rest(evidence: Evidence) -> Iterator[Violation]:
    """The answer to a submission shows how much of the rate is left: nothing, if it was refused."""
    for entry in evidence.requests:
        if entry.action != "submit" or entry.http not in {202, 429}:
            continue
        left = entry.left or ""
        if not left or (entry.problem == "rate_limited" and ";r=0;" not in left):
            text = f"submit: {entry.http} {entry.problem}, RateLimit: {left or 'none'}"
            yield Violation(Promise.HTTP, f"{text}, at {entry.begun:.3f}", entry.job)


def _too_fast(evidence: Evidence, entry: Entry) -> bool:
    """Return whether the user's bucket can be empty: the last minute's requests fill the rate."""
    if entry.action != "submit" or (entry.left or "").startswith('"site"'):
        return _site_is_flooded(evidence, entry)
    if entry.user in evidence.throttled:
        return True
    if entry.user not in evidence.low_rates:
        return False
    if evidence.faults_during(REDIS_AWAY, entry.begun, entry.at, REDIS_BACK_S):
        return True
    taken = sum(
        other.action in {"submit", "conflict"}
        and other.http != 429
        and other.user == entry.user
        and entry.begun - MINUTE_S - LATE_S <= other.at
        and other.begun <= entry.at
        for other in evidence.requests
    )
    return taken >= evidence.low_rates[entry.user]


def _site_is_flooded(evidence: Evidence, entry: Entry) -> bool:
    """Return whether this user, or all from the address, sent a full bucket in its refill time."""
    users = Counter(
        other.user
        for other in evidence.requests
        if other.action not in NOTED
        and other.begun <= entry.at
        and entry.begun - SITE_WINDOW_S - LATE_S <= other.at
    )
    return users[entry.user] >= SITE_BURST or users.total() >= SITE_BURST * ADDRESS_FACTOR


def _own_budget_is_used_up(evidence: Evidence, entry: Entry) -> bool:
    """Charges and own spend only grow, so a budget that was used up is still used up at the end."""
    return any(
        window.spent_micro >= (window.cap_micro or 0)
        or (window.own_over_micro is not None and window.own_over_micro >= 0)
        for window in evidence.windows
        if window.scope == "user" and window.key.endswith(f":{entry.user}")
    )


def _cap_is_reached(evidence: Evidence, entry: Entry) -> bool:
    """Compare the spend of that time with the caps that a process may have read."""
    spent = sum(
        attempt.spend_micro
        for attempt in evidence.attempts
        if attempt.ended_at is not None and attempt.ended_at <= entry.at
    )
    caps = {cap.scope: cap.micro for cap in evidence.caps if cap.at <= entry.begun - LATE_S}
    return any(spent >= micro for micro in caps.values())


def _is_stopped(evidence: Evidence, entry: Entry) -> bool:
    return any(
        flip.asked_at <= entry.at and entry.begun <= (flip.released_at or float("inf")) + LATE_S
        for _, flip in evidence.flips
    )


def _reads_a_stream(_evidence: Evidence, entry: Entry) -> bool:
    """A user with many jobs may read too many streams at the same time."""
    return entry.action == "streamed"


def _site_was_delayed(evidence: Evidence, entry: Entry) -> bool:
    """Requests may have waited for a thread. No queue of a run is as long as a deadline."""
    return bool(evidence.faults_during(DELAYED_BY, entry.begun, entry.at, DELAYED_S))


REASONS: Final[Mapping[str, Callable[[Evidence, Entry], bool]]] = {
    "rate_limited": _too_fast,
    "budget_exhausted": _own_budget_is_used_up,
    "budget_reached": _cap_is_reached,
    "feature_paused": _is_stopped,
    "too_many_streams": _reads_a_stream,
    "overloaded": _site_was_delayed,
}
