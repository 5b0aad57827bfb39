"""HTTP: the errors that a client may receive, and the faults that explain them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.limits import REASONS
from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Evidence
from tests.chaos.plan import POSTGRES_AWAY, WEB_FREEZES, Kind
from tests.chaos.request_log import Entry

AFTER_S: Final = 3.0
"""Seconds after a fault in which connections are made again."""

ALLOWED: Final = frozenset({200, 202, 409})

BROKEN_BY: Final = frozenset({Kind.WEB_KILL, Kind.WEB_CHILD_KILL})
"""Faults that explain a connection that is refused, reset or closed without an answer."""

SLOW_BY: Final = BROKEN_BY | WEB_FREEZES | POSTGRES_AWAY
"""Faults that explain a time-out."""

ENDED_BY: Final = frozenset({Kind.ROLLING_RESTART})
"""In an outage of PostgreSQL, this explains a request without an answer: it was still waiting when
its process had to end."""

UNAVAILABLE_BY: Final = POSTGRES_AWAY | WEB_FREEZES
"""Faults that explain a 503. A frozen process finds that the time-out of its wait has passed."""


@check
def errors_are_explained(evidence: Evidence) -> Iterator[Violation]:
    """Each error has a fault at that time that explains it."""
    late = [entry for entry in evidence.requests if entry.action == "late"]
    for entry in evidence.requests:
        if any(entry.begun <= other.at and other.begun <= entry.at for other in late):
            continue
        if entry.error:
            explained = _explained(evidence, entry, BROKEN_BY)
            if "Timeout" in entry.error:
                explained = _explained(evidence, entry, SLOW_BY)
            elif _explained(evidence, entry, POSTGRES_AWAY):
                explained = explained or _explained(evidence, entry, ENDED_BY)
            if not explained:
                text = f"{entry.action}: {entry.error}, {_when(entry)}"
                text += " on a kept connection" if entry.reused else ""
                yield Violation(Promise.HTTP, text, entry.job)
        elif (
            entry.http == 503
            and entry.problem not in REASONS  # `limits` checks those
            and not _explained(evidence, entry, UNAVAILABLE_BY)
        ):
            yield Violation(Promise.HTTP, f"{entry.action}: 503, {_when(entry)}", entry.job)


@check
def answers_follow_the_rules(evidence: Evidence) -> Iterator[Violation]:
    """The only 5xx is a 503 with a problem document and a time at which to retry."""
    for entry in evidence.requests:
        if not entry.http or entry.http in ALLOWED:
            continue
        if entry.http not in {429, 503}:
            text = f"{entry.action}: {entry.http} {entry.problem}, {_when(entry)}"
            yield Violation(Promise.HTTP, text, entry.job)
        elif entry.problem == "no problem document" or entry.retry_after is None:
            text = f"{entry.action}: {entry.http} with {entry.problem}, "
            text += f"Retry-After {entry.retry_after}, {_when(entry)}"
            yield Violation(Promise.HTTP, text, entry.job)


def closed_under(entry: Entry) -> bool:
    """Return whether a kept connection was closed before the first byte of an answer."""
    return entry.reused and not entry.http and "Timeout" not in entry.error


def _explained(evidence: Evidence, entry: Entry, kinds: frozenset[Kind]) -> bool:
    return bool(evidence.faults_during(kinds, entry.begun, entry.at, AFTER_S))


def _when(entry: Entry) -> str:
    return f"sent at {entry.begun:.3f}, ended at {entry.at:.3f}"
