"""Estimate of whether a job that is submitted now would start in time."""

from __future__ import annotations

from aifeature.models.load import Ahead, Load


def wait_s(load: Load, ahead: Ahead, *, max_concurrency: int | None) -> float:
    """Return the estimated seconds until a thread takes a job.

    Each thread takes the next job after a mean call, and at most `max_concurrency` jobs of one user
    run at the same time. The wait booked for the provider's limits is a minimum. Without recent
    calls, the other waits count as 0.
    """
    in_line = ahead.jobs / load.slots * (load.call_s or 0.0)
    behind_own = ahead.own / max_concurrency * (load.own_call_s or 0.0) if max_concurrency else 0.0
    return max(in_line, behind_own, load.booked_s)


def too_late_by_s(
    load: Load, ahead: Ahead, *, max_concurrency: int | None, deadline_s: float
) -> float | None:
    """Return the seconds by which the job would miss its deadline, or None.

    A job that need not wait is in time, however long calls are.
    """
    wait = wait_s(load, ahead, max_concurrency=max_concurrency)
    late = wait + (load.own_call_s or 0.0) - deadline_s
    return late if wait > 0 and late > 0 else None
