"""A new job's way into the table."""

from __future__ import annotations

from enum import StrEnum

from django.db import connection

from aifeature.models.functions import as_json, rows
from aifeature.models.job import Job


class Outcome(StrEnum):
    """What became of it."""

    STORED = "stored"
    CLOSED = "closed"
    """The user's account is closed."""
    PAUSED = "paused"
    """A kill switch stops this user's jobs."""
    EXISTS = "exists"
    """The user's idempotency key, or another requeue of the same job, was first."""


def store(job: Job, *, deadline_s: float, publish: bool, max_concurrency: int | None) -> Outcome:
    """Store a new job, in one statement; what the database decides of it is set on `job`.

    Args:
        job: Not saved; its user, feature and input, and perhaps its key, digest and whose requeue.
        deadline_s: Seconds from now until it fails.
        publish: Mark it as handed to the broker, if there is room.
        max_concurrency: How many of the user's jobs may be in flight; None: any number.
    """
    outcome, created_at, deadline_at, published_at = rows(
        "aif_submit",
        *(job.pk, job.user_id, job.feature, as_json(job.input), job.idempotency_key),
        *(job.request_digest, job.requeued_from_id, deadline_s, publish, max_concurrency),
    )[0]
    if outcome == Outcome.STORED:
        job.created_at = job.run_at = created_at
        job.deadline_at, job.published_at = deadline_at, published_at
        job._state.adding, job._state.db = False, connection.alias  # noqa: SLF001 (as `save` does)
    return Outcome(outcome)
