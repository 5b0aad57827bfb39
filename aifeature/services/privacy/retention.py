"""Retention: deletes the content of old jobs, and old guard events.

Times, tokens and costs of jobs stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from django.db import connection

from aifeature.models import Job
from aifeature.services import controls, ticks
from aifeature.services.alerting import check_runs, outbox
from aifeature.services.alerting.check_runs import Found
from aifeature.services.failures import web_failures
from aifeature.services.guards import audit
from aifeature.services.monitoring import refused_submissions
from aifeature.services.sign_in import limits

logger = logging.getLogger(__name__)

TASK: Final = "control.retention"

BATCH: Final = 500
"""Jobs blanked in one transaction, so that locks are short."""


def run_daily(*, also: Callable[[], str] | None = None) -> int:
    """Blank expired jobs, once per UTC day. Return the number of blanked jobs.

    `also` deletes other content in the same run, and returns a sentence for its result.
    """
    if not ticks.claim(TASK, ticks.DAILY):
        return 0
    blanked = 0

    def blank() -> Found:
        nonlocal blanked
        pruned = ticks.prune()
        blanked = blank_expired()
        blank_copies()
        web_failures.prune()
        refused_submissions.prune()
        limits.prune()
        outbox.prune()
        events = audit.delete_expired(batch=BATCH)
        logger.info(
            "retention: %d jobs blanked, %d guard events and %d old ticks deleted",
            *(blanked, events, pruned),
        )
        result = f"The content of {blanked} jobs and {events} guard events were deleted."
        return Found(ok=True, result=f"{result} {also()}" if also else result)

    check_runs.run(TASK, blank)
    return blanked


def blank_expired(
    *, days: Callable[[str], int] = controls.retention_days, batch: int = BATCH
) -> int:
    """Blank every job that ended longer ago than its feature's retention. Return their number.

    Each batch is its own transaction, so an interrupted run keeps its progress and two concurrent
    runs share the work. The cost depends only on the number of jobs to blank.
    """
    return sum(_of_feature(slug, days(slug), batch) for slug in _features_with_content())


def blank_copies(*, batch: int = BATCH) -> int:
    """Blank the copies that shadows made of blanked requests. Return the number of requests."""
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT aif_blank_shadows(%s)", [batch])
            done: int = cursor.fetchone()[0]
        total += done
        if done < batch:
            return total


def deletion_notice(job: Job) -> str:
    """Return a sentence about the deletion of a job's content; empty if it is not deleted."""
    if job.content_blanked_at is None:
        return ""
    gone = f"Its text was deleted on {job.content_blanked_at:%-d %B %Y}"
    if job.finished_at is None:
        return f"{gone}."
    days = (job.content_blanked_at - job.finished_at).days
    return f"{gone}, {days} day{'' if days == 1 else 's'} after it ended."


def _of_feature(slug: str, days: int, batch: int) -> int:
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT aif_blank_expired(%s, %s, %s)", [slug, days, batch])
            done: int = cursor.fetchone()[0]
        total += done
        if done:
            logger.info("retention: %s: %d jobs older than %d days blanked", slug, total, days)
        if done < batch:
            return total


def _features_with_content() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM aif_features_with_content()")
        return [slug for (slug,) in cursor.fetchall()]
