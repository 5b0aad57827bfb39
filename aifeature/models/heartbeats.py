"""The statements of a process's keeper. The functions stand in `sql/lease.sql`.

The first argument runs the statement: `functions.rows`, or the keeper's own connection.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from aifeature.models.functions import Rows

Owner = tuple[str, int | None]
"""A feature and a user; None: calls that belong to nobody."""

Run = tuple[UUID, int]
"""A job and the epoch at which it was claimed."""


def paused(ask: Rows, owners: Collection[Owner]) -> set[Owner]:
    """Return the owners that a kill switch stops. Reads the switches alone."""
    features, users = [feature for feature, _ in owners], [user for _, user in owners]
    return {(feature, user) for feature, user in ask("aif_paused_of", features, users)}


def running(ask: Rows, runs: Collection[Run]) -> Mapping[Run, bool]:
    """Return the runs that still have their job, and whether that was cancelled."""
    found = ask("aif_still_running", [job for job, _ in runs], [epoch for _, epoch in runs])
    return {(job, epoch): cancelled for job, epoch, cancelled in found}


def extend(ask: Rows, runs: Collection[Run], *, lease_s: float) -> None:
    """Extend the leases of these runs, if a third of them is used up and their rows are free.

    None lasts longer than `lease_s` seconds past its job's deadline.
    """
    ask("aif_extend_leases", [job for job, _ in runs], [epoch for _, epoch in runs], lease_s)


def runs_of(ask: Rows, worker: str) -> list[Run]:
    """Everything that runs under the name of this worker."""
    return [(job, epoch) for job, epoch in ask("aif_runs_of", worker)]


def give_back(ask: Rows, run: Run, *, delay_s: float, message: str) -> bool:
    """Put back a run that no thread has any more; `message` is what its user reads.

    It counts as a try only if one of its calls may be billed. False: it is over, or its row is
    locked.
    """
    return bool(ask("aif_give_back", *run, delay_s, message)[0][0])


def alive(ask: Rows, worker: str, *, queue: str, slots: int) -> None:
    """A worker's sign of life: it serves `queue` with `slots` threads; 0: it takes no more."""
    ask("aif_worker_alive", worker, queue, slots)
