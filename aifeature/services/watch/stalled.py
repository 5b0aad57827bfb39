"""Accepted jobs that no worker starts, by the database's clock."""

from __future__ import annotations

from typing import Final

from aifeature.models import watch
from aifeature.services.stores import redis_state
from aifeature.services.watch.findings import Finding

NOTHING_RUNS: Final = "nothing_runs"

AFTER_S: Final = 30.0
"""Seconds after which due jobs open an alert, if none runs although workers are live."""

_NO_CAUSE: Final = "Redis takes messages: check the logs of the llm workers, then restart them."


def found() -> list[Finding]:
    """Return at most one finding. It names the cause if Redis does not take messages."""
    stalled = watch.stalled(after_s=AFTER_S)
    if stalled is None:
        return []
    redis = redis_state.check()
    jobs = "1 accepted job is" if stalled.jobs == 1 else f"{stalled.jobs} accepted jobs are"
    return [
        Finding(
            NOTHING_RUNS,
            "jobs",
            f"{jobs} due, and for {stalled.due_s:.0f} seconds none was started although workers"
            f" are live. {redis.sentence or _NO_CAUSE}",
            {"jobs": stalled.jobs, "due_s": round(stalled.due_s), "redis": redis.word},
        )
    ]
