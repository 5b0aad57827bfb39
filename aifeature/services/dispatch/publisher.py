"""Hands job ids to the broker. The job row is the outbox: a publish may fail and loses nothing.

Only a window of jobs is out at once, twice the threads of all live workers, and the database
chooses which (aifeature/sql/dispatch.sql): while a thread is free a submission is handed over at
once, all else waits for `refill`, which takes one job of each user in turn.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from celery import current_app
from django.db import Error as DatabaseError

from aifeature.models import fair_queue
from aifeature.policies import redis_replies
from aifeature.services import provider
from aifeature.services.controls import rates
from aifeature.services.stores import broker
from workers.inference.outage import Outage

logger = logging.getLogger(__name__)

RUN_JOB: Final = "llm.run_job"
TASK_NAMES: Final = frozenset({RUN_JOB})
"""Every task name that is sent from here; a system check holds them against the registry."""

PAUSE_S: Final = 1.0
"""Seconds without a publish after one that failed, so that an outage costs few requests time."""

LOST_AFTER_S: Final = 60.0
"""Age at which a job that was handed over and that nobody claimed counts as lost."""

ABANDONED_AGAIN_AFTER_S: Final = 10.0
"""Seconds until a run whose worker is gone is handed over once more, if nobody claims it."""

BATCH: Final = 500


outage: Final = Outage(PAUSE_S)
"""Of the broker, as this process's publishes find it."""


def can_publish() -> bool:
    """Whether the broker can be handed a job now.

    It is the Redis of the gates: what has just kept a submission waiting is not asked once more.
    """
    return not (outage.in_cooldown or provider.shared_state().in_cooldown)


def refill(limit: int = BATCH) -> int:
    """Fill the window with the jobs whose turn it is; also sends again what got lost.

    Sending one too often is harmless: a claim decides. Returns how many were handed over.
    """
    if outage.in_cooldown:
        return 0
    chosen = fair_queue.dispatch(
        limit=limit,
        lost_after_s=LOST_AFTER_S,
        again_after_s=ABANDONED_AGAIN_AFTER_S,
        max_concurrency=rates.max_concurrency(),
    )
    return publish(chosen) if chosen else 0


def publish(jobs: Sequence[UUID]) -> int:
    """Send these jobs to the workers, best effort; call it after commit.

    They are marked as published already, by the statement that made or chose them: a mark set
    after sending could fall behind a worker that has run the job and put it back by then. The
    marks of those that could not be sent are taken back.

    Returns:
        How many were handed over. The rest is found by the next `refill`.
    """
    sent = 0
    try:
        with broker.producer() as producer:
            for job in jobs:
                current_app.send_task(
                    RUN_JOB,
                    kwargs={"job_id": str(job)},
                    queue="llm",
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                )
                sent += 1
    except broker.BROKER_ERRORS as error:
        outage.failed()
        logger.warning(
            "broker: publish failed, the rest is sent again: %s",
            redis_replies.code(error) or repr(error),
        )
        _take_back_if_possible(jobs[sent:])
    else:
        outage.succeeded()
    return sent


def unpublish(jobs: Sequence[UUID]) -> set[UUID]:
    """These were handed over and will not run from that message: choose them again.

    Returns those that somebody has locked: they are to be taken back later.

    Raises:
        django.db.Error: the database is away.
    """
    return fair_queue.unpublish(jobs)


def take_all_back() -> int:
    """No message is left in the broker: choose everything again. Returns how many jobs wait.

    Those that somebody has locked count as lost after a while.
    """
    return fair_queue.take_all_back()


def _take_back_if_possible(jobs: Sequence[UUID]) -> None:
    """What is accepted stays accepted if that fails as well."""
    try:
        unpublish(jobs)
    except DatabaseError as error:
        logger.warning("%d jobs count as published until they count as lost: %r", len(jobs), error)
