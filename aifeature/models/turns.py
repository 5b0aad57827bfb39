"""Whose turn it is: what the dispatcher asks of the database, one statement each."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from aifeature.models.functions import as_json, rows


def dispatch(
    *, limit: int, lost_after_s: float, again_after_s: float, at_once: Mapping[str, int]
) -> list[UUID]:
    """Choose and mark the jobs that go to the broker next; send them in this order.

    Args:
        limit: Most jobs to choose; the free room of the window may allow fewer.
        lost_after_s: Seconds after which a job that was handed over and never claimed is chosen
            again.
        again_after_s: The same for a run whose worker is gone.
        at_once: How many jobs of one user may be out, by feature; and by "feature:user id" of users
            with another figure.
    """
    arguments = (limit, lost_after_s, again_after_s, as_json(at_once))
    return [row[0] for row in rows("aif_dispatch_turns", *arguments)]


def next_due_s() -> float | None:
    """Seconds until a job is due, a lease runs out or a deadline passes; None: nothing is open."""
    seconds: float | None = rows("aif_next_due")[0][0]
    return seconds


def end_overdue(*, limit: int, ends: Mapping[str, Mapping[str, str]]) -> list[UUID]:
    """Fail up to `limit` queued jobs whose deadline has passed.

    `ends` maps what a job waited for to the `code` and `message` of its failure; '' is for others.
    """
    return [row[0] for row in rows("aif_end_overdue", limit, as_json(ends))]


def end_abandoned(*, ends: Mapping[str, Mapping[str, str]]) -> UUID | None:
    """End one run whose worker is gone and whose deadline has passed or that was to be cancelled.

    Returns its id, None when there is no such run.
    """
    found = rows("aif_end_abandoned", as_json(ends))
    return found[0][0] if found else None


def presence(worker: str, *, slots: int) -> None:
    """A worker's sign of life: it runs `slots` jobs at once; 0 when it takes no more."""
    rows("aif_presence", worker, slots)
