"""Database calls of the keeper. The SQL functions are in `sql/lease.sql` and `sql/dispatch.sql`.

The first argument runs the statement: `functions.rows`, or the same on the keeper's connection.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from aifeature.models.functions import Rows

Owner = tuple[str, int | None]
"""A feature and a user id; None for calls without a user."""

Run = tuple[UUID, int]
"""A job and the epoch of its claim."""


def paused(query: Rows, owners: Collection[Owner]) -> set[Owner]:
    """Return the owners that a kill switch stops. Reads only the switches."""
    features, users = [feature for feature, _ in owners], [user for _, user in owners]
    return {(feature, user) for feature, user in query("aif_paused_of", features, users)}


def running(query: Rows, runs: Collection[Run]) -> Mapping[Run, bool]:
    """Return the runs that still have their job, and whether the job was cancelled."""
    found = query("aif_still_running", [job for job, _ in runs], [epoch for _, epoch in runs])
    return {(job, epoch): cancelled for job, epoch, cancelled in found}


def extend(query: Rows, runs: Collection[Run], *, lease_s: float) -> None:
    """Extend each lease of which a third is used up. Skips locked rows.

    No lease lasts longer than `lease_s` seconds past its job's deadline.
    """
    query("aif_extend_leases", [job for job, _ in runs], [epoch for _, epoch in runs], lease_s)


def runs_of(query: Rows, worker: str) -> list[Run]:
    return [(job, epoch) for job, epoch in query("aif_runs_of", worker)]


def give_back(query: Rows, run: Run, *, delay_s: float, message: str) -> bool:
    """Put back a run that no thread executes any more. `message` is shown to the user.

    It counts as a try only if one of its calls may be billed. Returns False if the run is over or
    its row is locked.
    """
    return bool(query("aif_give_back", *run, delay_s, message)[0][0])


def alive(query: Rows, worker: str, *, queue: str, slots: int) -> None:
    """Record a heartbeat of a worker that serves `queue` with `slots` threads (0: stopping)."""
    query("aif_worker_alive", worker, queue, slots)
