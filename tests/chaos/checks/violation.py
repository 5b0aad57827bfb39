"""One thing that must not be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Promise(StrEnum):
    """What was broken; the first three are figures of the JSON line."""

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
    """An outage or one user has cost somebody else the service."""
    ANSWER = "answer"
    STREAM = "stream"
    HTTP = "http"
    RESCUE = "rescue"
    SWITCH = "switch"
    RUN = "run"
    """The harness has not done what it was to do, so the rest proves little."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, with the ids that tell its story."""

    promise: Promise
    text: str
    job: str = ""
    attempt: str = ""
