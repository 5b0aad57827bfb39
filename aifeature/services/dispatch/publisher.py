"""Publishes job ids to the broker. The job row is the outbox: a failed publish loses nothing.

Only a window of jobs is published at a time, twice the threads of all live workers. The database
chooses the jobs (aifeature/sql/dispatch.sql): while a thread is free, a submitted job is published
immediately. All others wait for `refill`, which takes one job of each user in turn.
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
USERS: Final = "llm"
QUEUES: Final = (USERS, "evals")
"""The queues of jobs: those of users, and all others (`sql/dispatch.sql`)."""

TASK_NAMES: Final = frozenset({RUN_JOB})
"""All task names sent by this module. A system check compares them with the task registry."""

PAUSE_S: Final = 1.0
"""Seconds without publishing after a failure, so that an outage slows few requests."""

LOST_AFTER_S: Final = 60.0
"""Age in seconds at which a published and unclaimed job counts as lost."""

ABANDONED_AGAIN_AFTER_S: Final = 10.0
"""Seconds until a run of a lost worker is published again if it was not claimed."""

BATCH: Final = 500


outage: Final = Outage(PAUSE_S)
"""The outage state of the broker, as seen by this process."""


def can_publish() -> bool:
    """Return whether a job may be published to the broker now.

    The broker and the gates share one Redis, so an outage noticed by a gate also counts here.
    """
    return not (outage.in_cooldown or provider.shared_state().in_cooldown)


def refill(limit: int = BATCH) -> int:
    """Fill the window with the next jobs, including lost ones. Return the number published.

    Publishing a job twice is harmless, because only one claim succeeds.
    """
    if outage.in_cooldown:
        return 0
    chosen = fair_queue.dispatch(
        limit=limit,
        lost_after_s=LOST_AFTER_S,
        again_after_s=ABANDONED_AGAIN_AFTER_S,
        max_concurrency=rates.max_concurrency(),
    )
    return _send(chosen) if chosen else 0


def publish(jobs: Sequence[UUID]) -> int:
    """Send these jobs of users to the workers, best effort, and return the number sent.

    Call after commit.
    """
    return _send([(USERS, job) for job in jobs])


def _send(jobs: Sequence[tuple[str, UUID]]) -> int:
    """Send jobs, each to its queue, best effort, and return the number sent.

    The statement that chose the jobs has already marked them as published. A mark set after sending
    could overwrite the state of a job that a worker has already run and requeued. Marks of unsent
    jobs are removed, so the next `refill` finds them.
    """
    sent = 0
    try:
        with broker.producer() as producer:
            for queue, job in jobs:
                current_app.send_task(
                    RUN_JOB,
                    kwargs={"job_id": str(job)},
                    queue=queue,
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                )
                sent += 1
    except broker.BROKER_ERRORS as error:
        outage.failed()
        logger.warning(
            "broker: publish failed, the remaining jobs are sent later: %s",
            redis_replies.code(error) or repr(error),
        )
        _take_back_if_possible([job for _, job in jobs[sent:]])
    else:
        outage.succeeded()
    return sent


def unpublish(jobs: Sequence[UUID]) -> set[UUID]:
    """Unmark published jobs whose message will not become a run, so that they are chosen again.

    Returns the jobs whose rows are locked. Retry these later.
    """
    return fair_queue.unpublish(jobs)


def take_all_back() -> int:
    """Unmark all waiting jobs after the broker lost its messages. Return their number.

    Jobs whose rows are locked count as lost after LOST_AFTER_S seconds.
    """
    return fair_queue.take_all_back()


def _take_back_if_possible(jobs: Sequence[UUID]) -> None:
    """Unmark jobs. If this fails too, they are published again after LOST_AFTER_S seconds."""
    try:
        unpublish(jobs)
    except DatabaseError as error:
        logger.warning("%d unsent jobs stay marked until they count as lost: %r", len(jobs), error)
