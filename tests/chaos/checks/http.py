"""HTTP: which errors a client may see, and during which faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.limits import REASONS
from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import Evidence
from tests.chaos.plan import Kind
from tests.chaos.request_log import Entry

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

ENDED_BY: Final = frozenset({Kind.ROLLING_RESTART})
"""With an outage of PostgreSQL, what explains that a request ends without an answer: it was still
waiting when its process had to end."""

AWAY_BY: Final = frozenset({Kind.POSTGRES_CRASH, Kind.POSTGRES_DROP, Kind.POSTGRES_FREEZE})
STOPPED_BY: Final = frozenset({Kind.WEB_STOP, Kind.WEB_CHILD_STOP})
"""What explains a 503: who sleeps past the time-out of a wait finds it over."""


def errors_are_explained(evidence: Evidence) -> Iterator[Violation]:
    """No error but those that a fault of that moment explains."""
    late = [entry for entry in evidence.diary if entry.deed == "late"]
    for entry in evidence.diary:
        if any(_meets(entry, own.begun, own.at) for own in late):
            continue
        if entry.error:
            explained = _explained(evidence, entry, BROKEN_BY)
            if "Timeout" in entry.error:
                explained = _explained(evidence, entry, SLOW_BY)
            elif _explained(evidence, entry, AWAY_BY):
                explained = explained or _explained(evidence, entry, ENDED_BY)
            if not explained:
                text = f"{entry.deed}: {entry.error}, {_when(entry)}"
                text += " on a kept connection" if entry.reused else ""
                yield Violation(Promise.HTTP, text, entry.job)
        elif (
            entry.http == 503
            and entry.problem not in REASONS  # those have a check of their own
            and not _explained(evidence, entry, AWAY_BY | STOPPED_BY)
        ):
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
        fault.kind in kinds and _meets(entry, fault.begun, (fault.ended or entry.at) + AFTER_S)
        for fault in evidence.faults
    )


def _meets(entry: Entry, begun: float, ended: float) -> bool:
    return entry.begun <= ended and begun <= entry.at


def _when(entry: Entry) -> str:
    return f"asked at {entry.begun:.3f}, known at {entry.at:.3f}"


CHECKS: Final = (errors_are_explained, answers_keep_the_rules)
