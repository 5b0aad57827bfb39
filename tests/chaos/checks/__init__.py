"""The promises that a run must keep, and the search for violations."""

from __future__ import annotations

from tests.chaos.checks import (  # noqa: F401 (each adds its checks to the list)
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
from tests.chaos.checks.violation import CHECKS, Violation
from tests.chaos.evidence import Evidence


def violations(evidence: Evidence) -> list[Violation]:
    """Return all violations, in the order of the checks."""
    return [found for check in CHECKS for found in check(evidence)]
