"""Waits for jobs: one query per tick reads the states for all waiting requests.

A waiting request holds neither a database connection nor a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError

from aifeature.api import stopping
from aifeature.api.fair_threads import give_connections_back
from aifeature.models import Status
from aifeature.models.job_states import JobState, read_states

logger = logging.getLogger(__name__)

TICK_S: Final = 0.2
"""Seconds between two queries while any request waits."""


Read = Callable[[Iterable[UUID]], Mapping[UUID, JobState]]
Notice = Callable[[JobState | None], None]
"""Called with a job's state after every query; None: the job is gone."""


def _read_from_thread(jobs: Iterable[UUID]) -> dict[UUID, JobState]:
    try:
        return read_states(jobs)
    finally:
        give_connections_back()


@dataclass(frozen=True, eq=False, slots=True)
class _Listener:
    job: UUID
    notice: Notice


class StatusWatch:
    """Notifies the requests of one event loop of the states of their jobs."""

    def __init__(self, *, read: Read = _read_from_thread, tick_s: float = TICK_S) -> None:
        """Start nothing yet. The task runs only while a request waits."""
        self._read = sync_to_async(read)
        self._tick_s = tick_s
        self._listeners: set[_Listener] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listening(self, job: UUID, notice: Notice) -> Iterator[None]:
        """Within the block, call `notice` with the job's state after every query."""
        listener = _Listener(job, notice)
        self._listeners.add(listener)
        if self._task is None:
            # In a new context: that of the first request refers to a thread that ends with it.
            self._task = asyncio.create_task(self._run(), context=Context())
        try:
            yield
        finally:
            self._listeners.discard(listener)

    async def until(self, job: UUID, done: Callable[[Status], bool], *, timeout_s: float) -> None:
        """Return when the job's status is `done`, the job is gone, or the time is over.

        Also returns when this process must stop. Keeps waiting while the database is unavailable;
        the caller's next read reports the outage.
        """
        woken = asyncio.Event()

        def notice(state: JobState | None) -> None:
            if state is None or done(state.status):
                woken.set()

        with self.listening(job, notice), stopping.on_stop(woken.set), suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await woken.wait()

    async def _run(self) -> None:
        try:
            while self._listeners:
                await asyncio.sleep(self._tick_s)
                await self._tick()
        finally:
            self._task = None

    async def _tick(self) -> None:
        listeners = list(self._listeners)  # later ones are notified at the next tick
        if not listeners:
            return
        try:
            states = await self._read({listener.job for listener in listeners})
        except (OperationalError, InterfaceError) as error:
            logger.warning("job states: the database is unavailable: %s", type(error).__name__)
            return
        except Exception:  # a defect must not end the task: all requests would hang
            logger.exception("job states: the query failed")
            return
        for listener in listeners:
            listener.notice(states.get(listener.job))


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, StatusWatch] = WeakKeyDictionary()


def watch() -> StatusWatch:
    return _watches.setdefault(asyncio.get_running_loop(), StatusWatch())
