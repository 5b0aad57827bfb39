"""Storage of new jobs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from django.db import connection

from aifeature.models.functions import as_json, rows
from aifeature.models.guard_event import NewGuardEvent, events_json
from aifeature.models.job import Job


class Outcome(StrEnum):
    STORED = "stored"
    CLOSED = "closed"
    """The user's account is closed."""
    PAUSED = "paused"
    """A kill switch stops this user's jobs."""
    EXISTS = "exists"
    """A job with the user's idempotency key, or another requeue of the same job, exists."""


def store(
    job: Job,
    *,
    deadline_s: float,
    publish: bool,
    max_concurrency: int | None,
    events: Sequence[NewGuardEvent] = (),
) -> Outcome:
    """Store a new job in one statement, and set the values from the database on `job`.

    Args:
        job: Unsaved, with user, feature and input; optionally key, digest, `options` and
            `requeued_from`.
        deadline_s: Seconds from now until it fails.
        publish: Mark it as sent to the broker, if there is room.
        max_concurrency: Most jobs of the user in flight; None: no limit.
        events: The guards' findings in its input. Stored with the job, or not at all.
    """
    outcome, created_at, deadline_at, published_at = rows(
        "aif_submit_checked",
        *(job.pk, job.user_id, job.feature, as_json(job.input), job.idempotency_key),
        *(job.request_digest, job.requeued_from_id, deadline_s, publish, max_concurrency),
        *(as_json(job.options), events_json(events)),
    )[0]
    if outcome == Outcome.STORED:
        job.created_at = job.run_at = created_at
        job.deadline_at, job.published_at = deadline_at, published_at
        job._state.adding, job._state.db = False, connection.alias  # noqa: SLF001 (as `save` does)
    return Outcome(outcome)


def store_other(job: Job, *, deadline_s: float) -> UUID | None:
    """Store a job of another origin than a user, with a key. The dispatcher publishes it.

    Returns its id, or that of the earlier job with the same key; None: the account is closed.
    """
    outcome, stored = rows(
        "aif_submit_other",
        *(job.pk, job.user_id, job.feature, as_json(job.input), job.idempotency_key),
        *(job.origin, as_json(job.options), deadline_s),
    )[0]
    return None if outcome == Outcome.CLOSED else UUID(str(stored))
