"""Long-polls: any number of requests wait for jobs, one query per tick reads for all of them.

A request that waits holds neither a database connection nor a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import InterfaceError, OperationalError, connection

from aifeature.models import Job, Status

logger = logging.getLogger(__name__)

TICK_S: Final = 0.2
"""Seconds between two looks at the database while anybody waits."""

Read = Callable[[Iterable[UUID]], Mapping[UUID, Status]]


def read_statuses(jobs: Iterable[UUID]) -> dict[UUID, Status]:
    """The status of each job that exists. Gives the connection back to its pool."""
    try:
        rows = Job.objects.filter(id__in=list(jobs)).values_list("id", "status")
        return {job: Status(status) for job, status in rows}
    finally:
        give_connection_back()


def give_connection_back() -> None:
    """Return this thread's database connection to the pool, unless a transaction is open."""
    if not connection.in_atomic_block:
        connection.close()


@dataclass(frozen=True, eq=False, slots=True)
class _Waiter:
    job: UUID
    done: Callable[[Status], bool]
    woken: asyncio.Future[None]

    def wake_if_done(self, status: Status | None) -> None:
        """`status` None: the job is gone, and waiting for it would never end."""
        if not self.woken.done() and (status is None or self.done(status)):
            self.woken.set_result(None)


class StatusWatch:
    """Tells the requests of one event loop when the jobs they wait for change."""

    def __init__(self, *, read: Read = read_statuses, tick_s: float = TICK_S) -> None:
        """Prepare; nothing runs while nobody waits."""
        self._read = sync_to_async(read)
        self._tick_s = tick_s
        self._waiters: set[_Waiter] = set()
        self._task: asyncio.Task[None] | None = None

    async def until(self, job: UUID, done: Callable[[Status], bool], *, timeout_s: float) -> None:
        """Return when the job's status is `done`, the job is gone, or the time is over.

        An outage of the database is sat out here; the caller's next read will tell of it.
        """
        waiter = _Waiter(job, done, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        if self._task is None:
            # In a context of its own: the one of the request that happens to be first names
            # a thread that ends with it.
            self._task = asyncio.create_task(self._look(), context=Context())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await waiter.woken
        finally:
            self._waiters.discard(waiter)

    async def _look(self) -> None:
        try:
            while self._waiters:
                await asyncio.sleep(self._tick_s)
                await self._look_once()
        finally:
            self._task = None

    async def _look_once(self) -> None:
        asked = list(self._waiters)  # who comes during the read is asked for at the next look
        if not asked:
            return
        try:
            statuses = await self._read({waiter.job for waiter in asked})
        except (OperationalError, InterfaceError) as error:
            logger.warning("long-poll: no answer from the database: %s", type(error).__name__)
            return
        for waiter in asked:
            waiter.wake_if_done(statuses.get(waiter.job))


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, StatusWatch] = WeakKeyDictionary()


def watch() -> StatusWatch:
    """The watch of the running event loop."""
    return _watches.setdefault(asyncio.get_running_loop(), StatusWatch())


def let_thread_go() -> None:
    """Give up the thread that asgiref keeps for this request; a later call gets a new one.

    Every synchronous part of a request (middleware, authentication) runs in one thread of its
    own, which would idle as long as the request waits: a thousand long-polls, a thousand threads.
    The thread must hold no database connection when it goes.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None:
        return  # called by synchronous code, which waits in its own thread anyway
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        executor.shutdown(wait=False)
