"""A pool of database connections that reports an outage, and its end, immediately.

The thread that needs a connection makes it, so it gets PostgreSQL's own error without a wait.
Why this is not psycopg_pool: docs/decisions/connection-pool.md.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus

from project.database import session

Connection = psycopg.Connection[Any]

GROW_S: Final = 0.02
"""Seconds to wait for a connection in use before another is made. Most are in use for less."""

MAX_LIFETIME_S: Final = 3600.0
"""Age at which a connection is replaced. Up to a tenth less, to spread the replacements in time."""

MAX_IDLE_S: Final = 600.0

SHARE_FAILURE_S: Final = 1.0
"""Most seconds for which other threads get a failure to connect without a try of their own. It is
shared for as long as it took: a refused connection costs little, a timeout costs seconds."""

SPARE: Final = 2
"""Connections in addition to the size of the pool, for each of the two kinds of urgent work."""

URGENT_WAIT_S: Final = 1.0
"""Seconds that urgent work waits for one of its connections."""

REPLACE_EVERY_S: Final = 2.0
"""Least seconds between two replacements of all connections while the server takes no writes."""

_trusted: ContextVar[bool | None] = ContextVar("_trusted", default=None)
"""The kind of urgent work in this context. None: the work is not urgent."""


@contextmanager
def urgent(*, trusted: bool = True) -> Iterator[None]:
    """Connect outside the pool in this context, with shorter time limits.

    The context includes the tasks and threads that run on its behalf.

    Args:
        trusted: False for work that any visitor can cause. It has spare connections of its own,
            so it cannot use up those of trusted work.
    """
    token = _trusted.set(trusted)
    try:
        yield
    finally:
        _trusted.reset(token)


class PoolBusyError(psycopg.OperationalError):
    """All connections were in use for too long: too much load, or the pool is too small."""


@dataclass(slots=True)
class _Age:
    """The age of a connection of the pool."""

    generation: int
    expires_at: float
    idle_since: float = 0.0


_Waiter = Future[Connection | None]
"""Gets a connection, or None: the waiter may make one, and it is counted already."""


class Pool:
    """Up to `max_size` connections; safe for any number of threads.

    First come, first served: a connection goes directly to the thread that has waited longest.
    Otherwise new threads could starve the waiting ones.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        max_size: int,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        connect_urgently: Callable[[], Connection] | None = None,
    ) -> None:
        """Make an empty pool. Does not connect.

        Args:
            connect: Makes a connection in autocommit mode, or raises psycopg.OperationalError.
            connect_urgently: The same for urgent work, with shorter time limits.
            max_size: Most connections at the same time.
            timeout: Seconds to wait while all are in use. A failure to connect is raised earlier.
            clock: A monotonic clock, in seconds.
        """
        self._connect = connect
        self._connect_urgently = connect_urgently or connect
        self._spare = {kind: threading.BoundedSemaphore(SPARE) for kind in (True, False)}
        self._max_size = max_size
        self._timeout_s = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._size = 0
        """Connections that exist or are being made."""

        self._ages: WeakKeyDictionary[Connection, _Age] = WeakKeyDictionary()
        """Weak: a connection that was not returned ends, with its locks, when it is deleted."""

        self._urgent: dict[int, threading.BoundedSemaphore] = {}
        """Spare connections in use, by `id`, and the semaphore that each has acquired."""

        self._idle: deque[Connection] = deque()
        self._waiters: deque[_Waiter] = deque()
        self._unreachable_until = float("-inf")
        self._generation = 0
        self._marked_at = float("-inf")
        self._closed = False

    @property
    def size(self) -> int:
        """The number of connections, in use or idle."""
        return self._size

    def open(self) -> None:
        """Do nothing. Django calls this before each `getconn`."""

    def getconn(self) -> Connection:
        """Return a connection that was alive a moment ago. Return it with `putconn`.

        A connection that the server has closed is recognised by its socket, without a round trip.

        Raises:
            PoolBusyError: none became free in time.
            psycopg.OperationalError: the database accepts no connection.
        """
        trusted = _trusted.get()
        connection = self._pooled() if trusted is None else self._outside(trusted=trusted)
        connection._pool = self  # noqa: SLF001 (Django returns it there)
        return connection

    def putconn(self, connection: Connection) -> None:
        """Take a connection back. Roll back an open transaction."""
        connection._pool = None  # noqa: SLF001 (an idle connection is in no reference cycle)
        if (spare := self._urgent.pop(id(connection), None)) is not None:
            spare.release()
            connection.close()
            return
        status = connection.info.transaction_status
        if status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
            with suppress(psycopg.Error):  # its status shows a failure
                connection.rollback()
        if session.takes_no_writes(connection):
            self.mark_stale()
        usable = connection.info.transaction_status is TransactionStatus.IDLE
        # Without autocommit, the next user's statements would be rolled back here.
        usable = usable and connection.autocommit and not self.is_stale(connection)
        self._ages[connection].idle_since = self._clock()
        with self._lock:
            usable = usable and not self._closed
            if usable and self._waiters:
                self._waiters.popleft().set_result(connection)
            elif usable:
                self._idle.append(connection)
        if not usable:
            self._discard(connection)

    def mark_stale(self) -> None:
        """Replace all present connections, because their server takes no writes.

        After a failover the same address may lead to another server, and a setting of a role or a
        database applies to new sessions only. Has no effect for REPLACE_EVERY_S after the last
        time: new connections may reach the same server again.
        """
        with self._lock:
            now = self._clock()
            if now - self._marked_at >= REPLACE_EVERY_S:
                self._marked_at = now
                self._generation += 1

    def is_stale(self, connection: Connection) -> bool:
        """Return whether a connection of the pool was made before the last `mark_stale`.

        A connection from outside the pool is never stale.
        """
        age = self._ages.get(connection)
        return age is not None and age.generation < self._generation

    def close(self) -> None:
        """Close idle connections now, and each other one when it is returned."""
        with self._lock:
            self._closed = True
            idle = list(self._idle)
            self._idle.clear()
        for connection in idle:
            self._discard(connection)

    def _outside(self, *, trusted: bool) -> Connection:
        """Return a new connection outside the pool.

        Raises:
            PoolBusyError: all spare connections are in use.
        """
        spare = self._spare[trusted]
        if not spare.acquire(timeout=URGENT_WAIT_S):
            raise PoolBusyError(
                f"all {SPARE} spare database connections of this process were in use"
                f" for {URGENT_WAIT_S:g} s"
            )
        try:
            connection = self._connect_urgently()
        except BaseException:
            spare.release()
            raise
        self._urgent[id(connection)] = spare
        return connection

    def _pooled(self) -> Connection:
        give_up_at = self._clock() + self._timeout_s
        while True:
            connection = self._take(give_up_at)
            if connection is None:
                return self._add()
            if self._is_usable(connection):
                return connection
            self._discard(connection)

    def _take(self, give_up_at: float) -> Connection | None:
        """Return an idle connection, or None if the caller may make one, which is counted already.

        Raises:
            PoolBusyError: neither in time.
        """
        now = self._clock()
        with self._lock:
            if self._idle:  # so no thread waits
                # The connection used last, so that those that are not needed age and are closed.
                aged = now - self._ages[self._idle[0]].idle_since >= MAX_IDLE_S
                return self._idle.popleft() if aged else self._idle.pop()
            if self._size == 0:
                self._size = 1
                return None
            waiter = _Waiter()
            self._waiters.append(waiter)
        with suppress(TimeoutError):
            return waiter.result(min(GROW_S, give_up_at - now))
        with self._lock:
            if self._size < self._max_size and not waiter.done():
                self._waiters.remove(waiter)
                self._size += 1
                return None
        with suppress(TimeoutError):
            return waiter.result(give_up_at - self._clock())
        with self._lock:
            if waiter.done():
                return waiter.result()
            self._waiters.remove(waiter)
        raise PoolBusyError(
            f"all {self._max_size} database connections of this process were in use "
            f"for {self._timeout_s:g} s: see DATABASE_POOL_SIZE"
        )

    def _add(self) -> Connection:
        generation = self._generation  # before connecting: `mark_stale` may be called meanwhile
        try:
            connection = self._connect_unless_unreachable()
        except BaseException:
            self._free_place()
            raise
        jitter = random.uniform(0.9, 1.0)  # noqa: S311 (spreads load, guards nothing)
        expires_at = self._clock() + MAX_LIFETIME_S * jitter
        self._ages[connection] = _Age(generation, expires_at)
        return connection

    def _connect_unless_unreachable(self) -> Connection:
        began = self._clock()
        if began < self._unreachable_until:
            raise psycopg.OperationalError("the database did not answer a moment ago")
        try:
            return self._connect()
        except psycopg.OperationalError:
            now = self._clock()
            self._unreachable_until = now + min(now - began, SHARE_FAILURE_S)
            raise

    def _is_usable(self, connection: Connection) -> bool:
        now, age = self._clock(), self._ages[connection]
        young = now - age.idle_since < MAX_IDLE_S and now < age.expires_at
        return young and not self.is_stale(connection) and not session.has_ended(connection)

    def _discard(self, connection: Connection) -> None:
        connection.close()
        self._ages.pop(connection, None)
        self._free_place()

    def _free_place(self) -> None:
        """Let the thread that has waited longest make a connection in place of a lost one."""
        with self._lock:
            if self._waiters and not self._closed:
                self._waiters.popleft().set_result(None)
            else:
                self._size -= 1
