"""Database calls of the dispatcher, one statement each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.conf import settings

from aifeature.models.functions import as_json, rows


def _stale_s() -> float:
    """Return the seconds after which a presence is stale: the length of a lease."""
    lease_s: float = settings.AIFEATURE["LEASE_S"]
    return lease_s


def dispatch(
    *, limit: int, lost_after_s: float, again_after_s: float, max_concurrency: Mapping[str, int]
) -> list[tuple[str, UUID]]:
    """Choose and mark the next jobs for the broker, each with its queue. Send them in this order.

    Args:
        limit: Most jobs to choose in each queue. The window may have room for fewer.
        lost_after_s: Seconds after which a published job that was not claimed is chosen again.
        again_after_s: The same for a run whose worker is gone, or while a worker thread is free.
        max_concurrency: Most jobs of one user in flight, by feature, or by "feature:user id" for
            users with a rate override.
    """
    arguments = (limit, lost_after_s, again_after_s, _stale_s(), as_json(max_concurrency))
    return [(queue, job) for queue, job in rows("aif_choose", *arguments)]


def unpublish(jobs: Sequence[UUID]) -> set[UUID]:
    """Unmark queued jobs, to choose them again. Return the jobs whose row is locked."""
    return {row[0] for row in rows("aif_take_back", list(jobs))}


def take_all_back() -> int:
    """Unmark all queued jobs whose row is not locked. Return their number."""
    count: int = rows("aif_take_all_back")[0][0]
    return count


def next_due_s() -> float | None:
    """Return the seconds until a job is due, a lease expires or a deadline passes, or None."""
    seconds: float | None = rows("aif_next_moment", _stale_s())[0][0]
    return seconds


def end_overdue(*, limit: int, ends: Mapping[str, Mapping[str, str]]) -> list[UUID]:
    """Fail up to `limit` queued jobs whose deadline has passed.

    `ends` maps a wait reason to the `code` and `message` of the failure; '' is the default.
    """
    return [row[0] for row in rows("aif_end_overdue", limit, as_json(ends))]


def end_unapproved(*, limit: int, code: str, message: str) -> list[UUID]:
    """Fail up to `limit` jobs about which no person has decided in time."""
    return [row[0] for row in rows("aif_end_unapproved", limit, code, message)]


def end_abandoned(*, ends: Mapping[str, Mapping[str, str]]) -> UUID | None:
    """End one run whose worker is gone and whose job is cancelled or past its deadline.

    Also ends a run whose deadline passed more than a lease ago: it hangs even if its worker is
    alive. Returns the job's id, or None if there is no such run.
    """
    found = rows("aif_end_lost_run", as_json(ends), _stale_s())
    return found[0][0] if found else None


def cancel_of_closed(*, limit: int) -> list[UUID]:
    """Cancel up to `limit` open jobs of closed accounts. Workers stop those that run."""
    return [row[0] for row in rows("aif_cancel_of_closed", limit)]
