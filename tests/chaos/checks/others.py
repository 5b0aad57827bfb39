"""Others: neither an outage of the provider nor one user costs anybody else the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import Evidence

SLOWER: Final = 2
UNNOTICED_MS: Final = 150
"""What nobody notices is no violation: on a busy machine a few requests make the difference."""

NO_BUDGET: Final = frozenset({"budget_spent", "user_limit", "account_limit"})
"""Error codes of a job that fits into no cap."""


def no_check_changes_a_control(evidence: Evidence) -> Iterator[Violation]:
    """Nothing in a run is a reason for a check of ours to stop or close a feature."""
    for trip in evidence.trips:
        text = f"{trip.check} set {trip.field} of {trip.slug} to {trip.new}: {trip.reason}"
        yield Violation(Promise.OTHERS, f"{text} at {trip.at:.3f}")


def only_the_malicious_user_is_throttled(evidence: Evidence) -> Iterator[Violation]:
    """A check may hold up the user who causes the spend, and nobody beside."""
    for user in evidence.throttled:
        if user != evidence.attacker:
            yield Violation(Promise.OTHERS, f"user {user} was throttled by a check")


def no_cap_refuses_anybody(evidence: Evidence) -> Iterator[Violation]:
    """Spend that is only a ceiling never fills a shared cap, so that no user is refused for it.

    The caps stay above what is settled, and leave room for what the faults and the malicious user
    may count at most (`caps.room_cents`).
    """
    for entry in evidence.diary:
        if entry.problem == "budget_reached":
            text = f"{entry.deed}: user {entry.user} was refused, {_spend(evidence, entry.at)}"
            yield Violation(Promise.OTHERS, text, entry.job)
    for job in evidence.jobs:
        if job.error_code in NO_BUDGET and job.user_id != evidence.attacker:
            text = f"user {job.user_id} has no budget ({job.error_code})"
            spend = _spend(evidence, job.finished_at)
            yield Violation(Promise.OTHERS, f"{text}, {spend}", job.id)


def a_flood_leaves_the_site_to_others(evidence: Evidence) -> Iterator[Violation]:
    """While one user floods the site the others wait hardly longer."""
    found = evidence.flooded
    if found and found.burst_p95_ms > max(SLOWER * found.calm_p95_ms, UNNOTICED_MS):
        text = f"95 % of the others waited up to {found.burst_p95_ms:.0f} ms in a flood"
        yield Violation(Promise.OTHERS, f"{text}, before it {found.calm_p95_ms:.0f} ms")


def phantom_micro(evidence: Evidence) -> int:
    """Micro-dollars that calls without a sure bill count in the end, without the attack's."""
    return sum(
        attempt.spend_micro
        for attempt in evidence.attempts
        if attempt.state in {"estimated", "unknown"} and attempt.user_id != evidence.attacker
    )


def _spend(evidence: Evidence, at: float | None) -> str:
    """How the spend of that moment was made up."""
    until = float("inf") if at is None else at
    ended = [a for a in evidence.attempts if a.ended_at is not None and a.ended_at <= until]
    parts = {
        state: sum(attempt.spend_micro for attempt in ended if attempt.state == state)
        for state in ("settled", "estimated", "unknown")
    }
    malicious = sum(a.spend_micro for a in ended if a.user_id == evidence.attacker)
    caps = {cap.scope: cap.micro for cap in evidence.caps if cap.at <= until}
    return f"spend {parts}, of it by the malicious user {malicious}, caps {caps}"


CHECKS: Final = (
    no_check_changes_a_control,
    only_the_malicious_user_is_throttled,
    no_cap_refuses_anybody,
    a_flood_leaves_the_site_to_others,
)
