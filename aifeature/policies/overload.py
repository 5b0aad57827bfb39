"""Whether a job that is submitted now would be begun in time."""

from __future__ import annotations

from aifeature.models.load import Ahead, Load


def wait_s(load: Load, ahead: Ahead, *, max_concurrency: int | None) -> float:
    """Seconds until a thread takes a job with so many ahead of it, as far as can be known.

    Each thread takes the next job after a mean call. At most `max_concurrency` jobs of one user run
    at the same time. Waits for the provider's limits are added up. Without a recent call nothing is
    known, and the job is accepted.
    """
    in_line = ahead.jobs / load.slots * (load.call_s or 0.0)
    behind_own = ahead.own / max_concurrency * (load.own_call_s or 0.0) if max_concurrency else 0.0
    return max(in_line, behind_own, load.booked_s)


def too_late_by_s(
    load: Load, ahead: Ahead, *, max_concurrency: int | None, deadline_s: float
) -> float | None:
    """By how many seconds it would miss its deadline; None: it is in time.

    What waits for nothing is in time, however long calls are.
    """
    wait = wait_s(load, ahead, max_concurrency=max_concurrency)
    late = wait + (load.own_call_s or 0.0) - deadline_s
    return late if wait > 0 and late > 0 else None
