"""Queues without a live worker, by the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aifeature.models import watch
from aifeature.services.watch.findings import Finding

NO_WORKER: Final = "no_worker"

AWAY_S: Final = 60.0
"""Seconds without a live worker after which an alert is opened."""

QUEUES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "llm": "Jobs wait and submissions are refused",
        "evals": "Evaluations wait",
        "control": "No check runs",
    }
)
"""By queue, the effect of having no worker."""


def away() -> list[Finding]:
    """Return the queues that have had no live worker for AWAY_S."""
    return [
        Finding(
            NO_WORKER,
            age.queue,
            f"No worker has served the queue {age.queue} for {age.away_s:.0f} seconds."
            f" {QUEUES[age.queue]}: start one, or find out why it ended.",
            {"away_s": round(age.away_s)},
        )
        for age in watch.queue_ages(list(QUEUES))
        if age.away_s is not None and age.away_s > AWAY_S
    ]
