"""Hands job ids to the broker. The job row is the outbox: a publish may fail and loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import Error as DatabaseError
from kombu import Connection
from kombu.exceptions import KombuError
from kombu.pools import producers
from redis.exceptions import RedisError

from aifeature.models import Job, Status

logger = logging.getLogger(__name__)

RUN_JOB: Final = "llm.run_job"
TASK_NAMES: Final = frozenset({RUN_JOB})
"""Every task name that is sent from here; a system check holds them against the registry."""

PUBLISH_TIMEOUT_S = 0.25
"""How long one answer of a slow broker may hold a publisher up."""


@cache
def _connection() -> Connection:
    """The publishers' broker connection: no retry anywhere, since the sweep publishes again."""
    options: dict[str, Any] = {
        **current_app.conf.broker_transport_options,
        "socket_timeout": PUBLISH_TIMEOUT_S,
        "socket_connect_timeout": PUBLISH_TIMEOUT_S,
        "max_retries": 0,  # of kombu's connecting; left out, it waits two seconds before the next
    }
    return Connection(
        settings.CELERY_BROKER_URL, transport_options=options, connect_timeout=PUBLISH_TIMEOUT_S
    )


def publish(jobs: Sequence[UUID]) -> int:
    """Send these jobs to the workers, best effort; call it after commit.

    They are marked as published already, by the statement that made or chose them: a mark set
    after sending could fall behind a worker that has run the job and put it back by then. The
    marks of those that could not be sent are taken back.

    Returns:
        How many were handed over. The rest is found by `recovery.publish_due`.
    """
    sent = 0
    try:
        with producers[_connection()].acquire(block=True, timeout=PUBLISH_TIMEOUT_S) as producer:
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
    except (KombuError, RedisError, OSError) as error:
        logger.warning("broker: publish failed, the sweep sends the rest again: %r", error)
        _unmark(jobs[sent:])
    return sent


def _unmark(jobs: Sequence[UUID]) -> None:
    """Let the next sweep send these. What is accepted stays accepted if that fails as well."""
    try:
        Job.objects.filter(id__in=jobs, status=Status.QUEUED).update(published_at=None)
    except DatabaseError as error:
        logger.warning("%d jobs count as published until they count as lost: %r", len(jobs), error)
