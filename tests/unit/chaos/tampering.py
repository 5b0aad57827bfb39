"""Ways to tamper with evidence, and to read what the checks find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.chaos.checks import violations
from tests.chaos.checks.violation import Promise
from tests.chaos.evidence import Evidence
from tests.chaos.request_log import Entry
from tests.unit.chaos.honest import BOB

Tamper = Callable[[Evidence], None]
Table = dict[Promise, dict[str, Tamper]]
"""By promise and by a part of the violation's text, the change that breaks the promise."""


def change(evidence: Evidence, rows: str, index: int, **facts: Any) -> None:
    found = list(getattr(evidence, rows))
    found[index] = replace(found[index], **facts)
    setattr(evidence, rows, found)


def add(evidence: Evidence, rows: str, *more: Any) -> None:
    setattr(evidence, rows, [*getattr(evidence, rows), *more])


def changed(rows: str, index: int, **facts: Any) -> Tamper:
    return lambda evidence: change(evidence, rows, index, **facts)


def added(rows: str, *more: Any) -> Tamper:
    return lambda evidence: add(evidence, rows, *more)


def copied(rows: str, index: int, **facts: Any) -> Tamper:
    """Add a copy of a row, with other facts."""
    return lambda evidence: add(evidence, rows, replace(getattr(evidence, rows)[index], **facts))


def dropped(rows: str, index: int) -> Tamper:
    def tamper(evidence: Evidence) -> None:
        found = list(getattr(evidence, rows))
        del found[index]
        setattr(evidence, rows, found)

    return tamper


def cases(table: Table) -> list[tuple[Promise, str]]:
    return [(promise, text) for promise, found in table.items() for text in found]


def found_of(evidence: Evidence, promise: Promise) -> str:
    """Return the texts of the violations of one promise."""
    return "\n".join(v.text for v in violations(evidence) if v.promise is promise)


def refused(http: int, problem: str, at: float, *, user: int = BOB) -> Entry:
    return Entry(
        *(user, "submit", "k2", at, at + 0.1),
        http=http,
        problem=problem,
        retry_after="5",
        left='"requests";r=0;t=60',
    )
