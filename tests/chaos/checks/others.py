"""Other users: neither an outage of the provider nor one user prevents the service for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Evidence

SLOWER: Final = 2
UNNOTICED_MS: Final = 150
"""A shorter wait is no violation: on a busy machine a few requests cause it."""

NO_BUDGET: Final = frozenset({"budget_spent", "user_limit", "account_limit"})
"""Error codes of a job that no cap has room for."""


@check
def no_check_changes_a_control(evidence: Evidence) -> Iterator[Violation]:
    """A run gives no check a reason to stop or close a feature."""
    for trip in evidence.trips:
        text = f"{trip.check} set {trip.field} of {trip.slug} to {trip.new}: {trip.reason}"
        yield Violation(Promise.OTHERS, f"{text} at {trip.at:.3f}")


@check
def only_the_malicious_user_is_throttled(evidence: Evidence) -> Iterator[Violation]:
    """A check throttles only the user who causes the spend."""
    for user in evidence.throttled:
        if user != evidence.attacker:
            yield Violation(Promise.OTHERS, f"user {user} was throttled by a check")


@check
def no_shared_cap_refuses_a_user(evidence: Evidence) -> Iterator[Violation]:
    """Phantom spend never fills a shared cap, so that no user is refused because of it.

    The caps stay above the settled spend, with room for the phantom spend of the faults and of the
    malicious user (`caps.room_cents`).
    """
    for entry in evidence.requests:
        if entry.problem == "budget_reached":
            text = f"{entry.action}: user {entry.user} was refused, {_spend(evidence, entry.at)}"
            yield Violation(Promise.OTHERS, text, entry.job)
    for job in evidence.jobs:
        if job.error_code in NO_BUDGET and job.user_id != evidence.attacker:
            text = f"user {job.user_id} has no budget ({job.error_code})"
            spend = _spend(evidence, job.finished_at)
            yield Violation(Promise.OTHERS, f"{text}, {spend}", job.id)


@check
def flood_leaves_the_site_to_others(evidence: Evidence) -> Iterator[Violation]:
    """While one user floods the site, other users wait at most twice as long."""
    found = evidence.flooded
    if found and found.burst_p95_ms > max(SLOWER * found.calm_p95_ms, UNNOTICED_MS):
        text = f"95 % of the others waited up to {found.burst_p95_ms:.0f} ms in a flood"
        yield Violation(Promise.OTHERS, f"{text}, before it {found.calm_p95_ms:.0f} ms")


def phantom_micro(evidence: Evidence) -> int:
    """Return the micro-dollars of estimated and unknown calls, without the malicious user's."""
    return sum(
        attempt.spend_micro
        for attempt in evidence.attempts
        if attempt.state in {"estimated", "unknown"} and attempt.user_id != evidence.attacker
    )


def _spend(evidence: Evidence, at: float | None) -> str:
    """Describe the parts of the spend at that time."""
    until = float("inf") if at is None else at
    ended = [a for a in evidence.attempts if a.ended_at is not None and a.ended_at <= until]
    parts = {
        state: sum(attempt.spend_micro for attempt in ended if attempt.state == state)
        for state in ("settled", "estimated", "unknown")
    }
    malicious = sum(a.spend_micro for a in ended if a.user_id == evidence.attacker)
    caps = {cap.scope: cap.micro for cap in evidence.caps if cap.at <= until}
    return f"spend {parts}, of it by the malicious user {malicious}, caps {caps}"
