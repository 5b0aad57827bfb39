"""The Celery app: queues, broker behaviour and the beat schedule.

Every choice that departs from Celery's defaults says why; the measurements are in ARCHITECTURE.md.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu import Exchange, Queue

from project import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

broker.install()
app = Celery("project", task_cls="project.task_events:Task")
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
    broker_channel_error_retry=True,  # and any error that Redis answers with
    broker_connection_timeout=2,
    broker_pool_limit=10,
    imports=["workers.tasks"],
)


@setup_logging.connect
def _keep_logging(**_: Any) -> None:
    """Leave logging as Django has set it up, by LOG_LEVEL: Celery would set a level of its own."""
