"""A violation of a promise, and the list of the checks that find violations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.chaos.evidence import Evidence


class Promise(StrEnum):
    """The broken promise. The first three are figures of the JSON line."""

    LOST = "lost"
    DOUBLED = "doubled"
    STALE = "stale_writes"
    LEDGER = "ledger"
    LEAK = "leak"
    OVERSHOOT = "overshoot"
    PROVIDER = "provider"
    BILL = "bill"
    CHARGE = "charge"
    OTHERS = "others"
    """An outage or one user prevented the service for other users."""
    ANSWER = "answer"
    STREAM = "stream"
    HTTP = "http"
    RESCUE = "rescue"
    SWITCH = "switch"
    RUN = "run"
    """The harness did not do its work, so the other checks prove little."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, with the ids of the job and the call."""

    promise: Promise
    text: str
    job: str = ""
    attempt: str = ""


Check = Callable[[Evidence], Iterator[Violation]]

CHECKS: Final[list[Check]] = []


def check(function: Check) -> Check:
    """Add a function to the checks of a run."""
    CHECKS.append(function)
    return function
