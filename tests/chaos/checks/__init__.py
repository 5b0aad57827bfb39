"""The promises that a run must keep, and the search for violations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.chaos.checks import (
    bill,
    cancelled,
    epochs,
    http,
    jobs,
    ledger,
    limits,
    others,
    provider,
    rescue,
    run,
    streams,
    switch,
)
from tests.chaos.checks.violation import Violation
from tests.chaos.evidence import Evidence

Check = Callable[[Evidence], Iterator[Violation]]

CHECKS: Final[Sequence[Check]] = (
    *(*jobs.CHECKS, *ledger.CHECKS, *provider.CHECKS, *bill.CHECKS, *cancelled.CHECKS),
    *(*epochs.CHECKS, *streams.CHECKS, *http.CHECKS, *limits.CHECKS, *others.CHECKS),
    *(*switch.CHECKS, *rescue.CHECKS, *run.CHECKS),
)


def violations(evidence: Evidence) -> list[Violation]:
    """Return all violations, in the order of the checks."""
    return [found for check in CHECKS for found in check(evidence)]
