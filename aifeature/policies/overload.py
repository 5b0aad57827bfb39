"""Whether a job that is submitted now would be begun in time."""

from __future__ import annotations

from aifeature.models.load import Ahead, Load


def wait_s(load: Load, ahead: Ahead, *, at_once: int | None) -> float:
    """Seconds until a thread takes a job with so many ahead of it, as far as can be known.

    Each thread takes the next one after a mean call; of a user's own only `at_once` run at the same
    time; what the provider lets through is booked on top of one another. Without a call lately
    nothing is known, and nothing speaks against it.
    """
    in_line = ahead.jobs / load.slots * (load.call_s or 0.0)
    behind_own = ahead.own / at_once * (load.own_call_s or 0.0) if at_once else 0.0
    return max(in_line, behind_own, load.booked_s)


def too_late_by_s(
    load: Load, ahead: Ahead, *, at_once: int | None, deadline_s: float
) -> float | None:
    """By how many seconds it would miss its deadline; None: it is in time.

    What waits for nothing is in time, however long calls are.
    """
    wait = wait_s(load, ahead, at_once=at_once)
    late = wait + (load.own_call_s or 0.0) - deadline_s
    return late if wait > 0 and late > 0 else None
