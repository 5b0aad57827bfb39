"""HTTP: which errors a client may see, and during which faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.diary import Entry
from tests.chaos.evidence import Evidence
from tests.chaos.plan import Kind

AFTER_S: Final = 3.0
"""So long after a fault its consequences may still be seen: connections are made anew."""

ALLOWED: Final = frozenset({200, 202, 409})

BROKEN_BY: Final = frozenset({Kind.WEB_KILL, Kind.WEB_CHILD_KILL})
"""What explains a connection that is refused, reset or ends without an answer."""

SLOW_BY: Final = BROKEN_BY | {
    *(Kind.WEB_STOP, Kind.WEB_CHILD_STOP),
    *(Kind.POSTGRES_CRASH, Kind.POSTGRES_DROP, Kind.POSTGRES_FREEZE),
}
"""What explains an answer that does not come in time."""

CLOSED_BY: Final = frozenset({Kind.ROLLING_RESTART})
"""What explains that a kept connection is closed as a request is sent on it. No server can rule
that out (RFC 9112, 9.5), so it is counted, and told only when no server was being replaced."""

AWAY_BY: Final = frozenset({Kind.POSTGRES_CRASH, Kind.POSTGRES_DROP, Kind.POSTGRES_FREEZE})
"""What explains a 503."""


def errors_are_explained(evidence: Evidence) -> Iterator[Violation]:
    """No error but those that a fault of that moment explains."""
    for entry in evidence.diary:
        if entry.error:
            kinds = SLOW_BY if "Timeout" in entry.error else BROKEN_BY
            if closed_under(entry):
                kinds = kinds | CLOSED_BY
            if not _explained(evidence, entry, kinds):
                text = f"{entry.deed}: {entry.error}, {_when(entry)}"
                yield Violation(Promise.HTTP, text, entry.job)
        elif entry.http == 503 and not _explained(evidence, entry, AWAY_BY):
            yield Violation(Promise.HTTP, f"{entry.deed}: 503, {_when(entry)}", entry.job)


def answers_keep_the_rules(evidence: Evidence) -> Iterator[Violation]:
    """No 5xx but a 503 with a problem document that says when to come back."""
    for entry in evidence.diary:
        if not entry.http or entry.http in ALLOWED:
            continue
        if entry.http not in {429, 503}:
            text = f"{entry.deed}: {entry.http} {entry.problem}, {_when(entry)}"
            yield Violation(Promise.HTTP, text, entry.job)
        elif entry.problem == "no problem document" or entry.retry_after is None:
            text = f"{entry.deed}: {entry.http} with {entry.problem}, "
            text += f"Retry-After {entry.retry_after}, {_when(entry)}"
            yield Violation(Promise.HTTP, text, entry.job)


def closed_under(entry: Entry) -> bool:
    """Whether a kept connection was closed before it brought one byte of an answer."""
    return entry.reused and not entry.http and "Timeout" not in entry.error


def _explained(evidence: Evidence, entry: Entry, kinds: frozenset[Kind]) -> bool:
    return any(
        fault.kind in kinds
        and fault.begun <= entry.at
        and (fault.ended is None or entry.begun <= fault.ended + AFTER_S)
        for fault in evidence.faults
    )


def _when(entry: Entry) -> str:
    return f"asked at {entry.begun:.3f}, known at {entry.at:.3f}"


CHECKS: Final = (errors_are_explained, answers_keep_the_rules)
