"""Dispatches jobs to workers: publishes job ids, fills the dispatch window, recovers lost jobs.

Public: `publish`, `refill`, `can_publish`, the threads `Dispatcher` and `WorkerAgent`, `recovery`,
and the names of tasks and queues.

Size limit: 650 lines.
"""

from aifeature.services.dispatch import recovery
from aifeature.services.dispatch.dispatcher import Dispatcher
from aifeature.services.dispatch.publisher import (
    QUEUES,
    RUN_JOB,
    TASK_NAMES,
    USERS,
    can_publish,
    publish,
    refill,
)
from aifeature.services.dispatch.worker_agent import WorkerAgent

__all__ = [
    "QUEUES",
    "RUN_JOB",
    "TASK_NAMES",
    "USERS",
    "Dispatcher",
    "WorkerAgent",
    "can_publish",
    "publish",
    "recovery",
    "refill",
]
