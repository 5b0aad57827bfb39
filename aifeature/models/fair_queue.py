"""Whose turn it is: what the dispatcher asks of the database, one statement each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.conf import settings

from aifeature.models.functions import as_json, rows


def _stale_s() -> float:
    """Seconds without a sign of life after which a worker counts as gone: those of a lease."""
    lease_s: float = settings.AIFEATURE["LEASE_S"]
    return lease_s


def dispatch(
    *, limit: int, lost_after_s: float, again_after_s: float, max_concurrency: Mapping[str, int]
) -> list[UUID]:
    """Choose and mark the jobs that go to the broker next; send them in this order.

    Args:
        limit: Most jobs to choose; the free room of the window may allow fewer.
        lost_after_s: Seconds after which a job that was handed over and never claimed is chosen
            again.
        again_after_s: The same for a run whose worker is gone.
        max_concurrency: How many jobs of one user may be in flight, by feature; and by
            "feature:user id" for users with a rate override.
    """
    arguments = (limit, lost_after_s, again_after_s, _stale_s(), as_json(max_concurrency))
    return [row[0] for row in rows("aif_choose_jobs", *arguments)]


def unpublish(jobs: Sequence[UUID]) -> set[UUID]:
    """Take back the marks of these jobs, if they wait, so that they are chosen again.

    Returns those whose row is locked: they keep their mark.
    """
    return {row[0] for row in rows("aif_take_back", list(jobs))}


def take_all_back() -> int:
    """The same of all that wait. Returns how many were taken back."""
    taken: int = rows("aif_take_all_back")[0][0]
    return taken


def next_due_s() -> float | None:
    """Seconds until a job is due, a lease runs out or a deadline passes; None: nothing is open."""
    seconds: float | None = rows("aif_next_moment", _stale_s())[0][0]
    return seconds


def end_overdue(*, limit: int, ends: Mapping[str, Mapping[str, str]]) -> list[UUID]:
    """Fail up to `limit` queued jobs whose deadline has passed.

    `ends` maps what a job waited for to the `code` and `message` of its failure; '' is for others.
    """
    return [row[0] for row in rows("aif_end_overdue", limit, as_json(ends))]


def end_abandoned(*, ends: Mapping[str, Mapping[str, str]]) -> UUID | None:
    """End one run whose worker is gone and whose deadline has passed or that was to be cancelled.

    Or one whose deadline passed more than a lease ago, although its worker lives: it hangs.
    Returns its id, None when there is no such run.
    """
    found = rows("aif_end_lost_run", as_json(ends), _stale_s())
    return found[0][0] if found else None


def cancel_of_closed(*, limit: int) -> list[UUID]:
    """Cancel up to `limit` open jobs of accounts that are closed; what runs is asked to stop."""
    return [row[0] for row in rows("aif_cancel_of_closed", limit)]
