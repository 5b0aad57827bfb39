"""Any number of requests wait for jobs, and one query per tick reads for all of them.

A request that waits holds neither a database connection nor a thread.
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
"""Seconds between two looks at the database while anybody waits."""


Read = Callable[[Iterable[UUID]], Mapping[UUID, JobState]]
Notice = Callable[[JobState | None], None]
"""Told of a job's state at every look; None: the job is gone."""


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
    """Tells the requests of one event loop when the jobs they wait for change."""

    def __init__(self, *, read: Read = _read_from_thread, tick_s: float = TICK_S) -> None:
        """Prepare; nothing runs while nobody waits."""
        self._read = sync_to_async(read)
        self._tick_s = tick_s
        self._listeners: set[_Listener] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listening(self, job: UUID, notice: Notice) -> Iterator[None]:
        """Have `notice` called at every look at the job while the block runs."""
        listener = _Listener(job, notice)
        self._listeners.add(listener)
        if self._task is None:
            # In a context of its own: the one of the request that happens to be first names
            # a thread that ends with it.
            self._task = asyncio.create_task(self._look(), context=Context())
        try:
            yield
        finally:
            self._listeners.discard(listener)

    async def until(self, job: UUID, done: Callable[[Status], bool], *, timeout_s: float) -> None:
        """Return when the job's status is `done`, the job is gone, or the time is over.

        It is over too when this process is asked to stop. An outage of the database is sat out
        here; the caller's next read will tell of it.
        """
        woken = asyncio.Event()

        def notice(state: JobState | None) -> None:
            if state is None or done(state.status):
                woken.set()

        with self.listening(job, notice), stopping.told(woken.set), suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await woken.wait()

    async def _look(self) -> None:
        try:
            while self._listeners:
                await asyncio.sleep(self._tick_s)
                await self._look_once()
        finally:
            self._task = None

    async def _look_once(self) -> None:
        asked = list(self._listeners)  # who comes during the read is asked for at the next look
        if not asked:
            return
        try:
            states = await self._read({listener.job for listener in asked})
        except (OperationalError, InterfaceError) as error:
            logger.warning("watch: no answer from the database: %s", type(error).__name__)
            return
        except Exception:  # a defect here must not leave everybody waiting
            logger.exception("watch: no answer from the database")
            return
        for listener in asked:
            listener.notice(states.get(listener.job))


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, StatusWatch] = WeakKeyDictionary()


def watch() -> StatusWatch:
    """The watch of the running event loop."""
    return _watches.setdefault(asyncio.get_running_loop(), StatusWatch())
