"""The objects that all runs of one worker process share, built once and passed in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.conf import settings

from aifeature.services.execution.lease import LeaseKeeper
from aifeature.services.functions import FunctionPool
from aifeature.services.streams import writer
from aifeature.services.streams.writer import StreamWriter
from workers.retry_budget import RetryBudget


def _keeper() -> LeaseKeeper:
    return LeaseKeeper(settings.AIFEATURE["LEASE_S"])


@dataclass(frozen=True, slots=True, eq=False)
class WorkerContext:
    """The objects of a process that a run needs. Nothing is connected before its first use."""

    keeper: LeaseKeeper = field(default_factory=_keeper)
    streams: StreamWriter = field(default_factory=writer.process)
    retries: RetryBudget = field(default_factory=RetryBudget)
    functions: FunctionPool = field(default_factory=FunctionPool)


_lock = threading.Lock()
_contexts: list[WorkerContext] = []
"""The last one is in use."""


def current() -> WorkerContext:
    """Return the context of this process, built at its first use."""
    with _lock:
        if not _contexts:
            _contexts.append(WorkerContext())
        return _contexts[-1]


@contextmanager
def using(context: WorkerContext) -> Iterator[WorkerContext]:
    """Use another context in all threads of this process while the block runs."""
    _contexts.append(context)
    try:
        yield context
    finally:
        _contexts.remove(context)
