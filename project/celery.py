"""The Celery app: queues, broker behaviour and the beat schedule.

A comment gives the reason for each value that differs from Celery's default.
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
app = Celery("project", task_cls="project.task_events:Task", loader="project.loading:Loader")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # A task sent by queue name uses the default exchange, which needs no binding. With any other
    # exchange, a lost binding drops messages silently.
    task_queues=[Queue(name, Exchange(name), name) for name in ("llm", "evals", "control")],
    task_default_queue="control",
    task_create_missing_queues=False,
    task_serializer="json",
    accept_content=["json"],
    result_backend=None,
    task_ignore_result=True,
    result_expires=None,  # otherwise beat adds a task that deletes results
    enable_utc=True,
    timezone="UTC",
    # The database decides which worker runs a job. A message may be delivered twice, but an early
    # acknowledgement could lose it.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_consumer="project.consumer:BatchingConsumer",
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # a worker survives any outage of Redis
    broker_channel_error_retry=True,  # and any error that Redis returns
    broker_connection_timeout=2,
    broker_pool_limit=10,
    imports=["workers.tasks"],
)


@setup_logging.connect
def _keep_logging(**_: Any) -> None:
    """Keep Django's logging configuration and LOG_LEVEL. Celery would set its own level."""
