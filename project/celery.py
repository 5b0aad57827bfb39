"""The Celery app: queues, broker behaviour and the beat schedule.

Every choice that departs from Celery's defaults says why; the measurements are in ARCHITECTURE.md.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from project import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

VISIBILITY_TIMEOUT_S = 3600
"""Longer than any feature's deadline; the database lease, not Redis, rescues a lost job."""

broker.install()
app = Celery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # Named by the queue alone, a task goes through the default exchange, which needs no binding:
    # a lost binding of any other exchange drops messages without a word.
    task_queues=[Queue(name, Exchange(name), name) for name in ("llm", "evals", "control")],
    task_default_queue="control",
    task_create_missing_queues=False,
    task_serializer="json",
    accept_content=["json"],
    result_backend=None,
    task_ignore_result=True,
    result_expires=None,  # beat would add a task that cleans results up
    enable_utc=True,
    timezone="UTC",
    # The database decides who runs a job, so a message may come twice but must not get lost early.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_consumer="project.consumer:BatchingConsumer",
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # a worker outlasts any outage of Redis
    broker_connection_timeout=2,
    broker_pool_limit=10,
    imports=["workers.tasks"],
)


def broker_transport_options(*, socket_timeout: float = 5) -> dict[str, Any]:
    """Redis options of every broker connection, so that a dead or frozen Redis is noticed.

    Args:
        socket_timeout: Seconds one answer may take. Consumers wait in BRPOP for up to a second,
            so they need more than that; publishers give up sooner (aifeature.services.dispatch).
    """
    return {
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": min(1.0, socket_timeout),
        "socket_keepalive": True,
        "socket_keepalive_options": _keepalive_options(),
        "health_check_interval": 10,
    }


def _keepalive_options() -> dict[int, int]:
    """Notice a dead peer after about 30 s; the names differ between Linux and macOS."""
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    return {getattr(socket, k): v for k, v in wanted.items() if hasattr(socket, k)}


app.conf.broker_transport_options = broker_transport_options()
