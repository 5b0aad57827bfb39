"""A pool of database connections whose users notice an outage, and its end, at once.

psycopg_pool connects in the background, after a failure with pauses that double from a second on:
whoever asks meanwhile waits for the whole time-out, and after an outage of a minute another half
of one passes until it looks again. Here who needs a connection makes it, and learns how that went.
"""

from __future__ import annotations

import random
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.pq import ConnStatus, TransactionStatus

Connection = psycopg.Connection[Any]

GROW_S: Final = 0.02
"""Seconds to wait for a connection in use before one more is made: most are held for less."""

MAX_LIFETIME_S: Final = 3600.0
"""Age at which a connection is replaced, less up to a tenth of it, so that not all go at once."""

MAX_IDLE_S: Final = 600.0

SPOKEN_FOR_S: Final = 1.0
"""A failure to connect speaks for those who ask in as many seconds as it took, and at most these:
a database that refuses costs nothing to ask again, one that does not answer costs seconds."""

SPARE: Final = 2
"""Connections at once, beyond the size of the pool, for each of the two kinds of urgent work."""

URGENT_WAIT_S: Final = 1.0
"""Seconds that urgent work waits while all connections that it may use are in use."""

DOUBT_S: Final = 2.0
"""Least seconds between two replacements of all connections, while the server takes no writes: a
new connection may lead to another server, or to the same one again."""

_NO_WRITES: Final = (b"in_hot_standby", b"default_transaction_read_only")
"""Settings that a server reports by itself, from PostgreSQL 14 on. A pooler may keep them back."""

_trusted: ContextVar[bool | None] = ContextVar("_trusted", default=None)
"""Which kind of urgent work this is; None: it is not urgent."""


@contextmanager
def urgent(*, trusted: bool = True) -> Iterator[None]:
    """A context in which connections are made beside the pool, with shorter time limits.

    It also holds in the tasks and threads that run on behalf of the context.

    Args:
        trusted: False for work that anybody can cause. It has spare connections of its own, so
            that it cannot use up the others.
    """
    token = _trusted.set(trusted)
    try:
        yield
    finally:
        _trusted.reset(token)


class PoolBusyError(psycopg.OperationalError):
    """All connections were in use for too long: too much load, or the pool is too small."""


class _Idle(NamedTuple):
    connection: Connection
    since: float


class _Waiter:
    """One who waits for a connection, and what was found for it."""

    __slots__ = ("found", "served")

    def __init__(self) -> None:
        self.served = threading.Event()
        self.found: _Idle | None = None
        """Once served: a connection; None: there is room for one more, and it is counted."""


class Pool:
    """Up to `max_size` connections; safe for any number of threads.

    First come, first served: a connection goes straight to who has waited longest. Were it for
    whoever is quickest, those who come would now and then starve those who wait.
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
        """Prepare; nothing is connected yet.

        Args:
            connect: Makes a connection in autocommit mode, or raises psycopg.OperationalError.
            connect_urgently: The same for urgent work, with shorter time limits.
            max_size: Most connections at once.
            timeout: Seconds to wait while all are in use. A database that is away is told of
                sooner: as soon as connecting fails.
            clock: Seconds that never go back.
        """
        self._connect = connect
        self._connect_urgently = connect_urgently or connect
        self._spare = {kind: threading.BoundedSemaphore(SPARE) for kind in (True, False)}
        self._urgent: dict[int, bool] = {}
        """By `id`: the spare connections in use, and whether they are for trusted work."""

        self._max_size = max_size
        self._timeout_s = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: deque[_Idle] = deque()
        self._waiters: deque[_Waiter] = deque()
        self._size = 0
        self._away_until = float("-inf")
        self._expire_at: dict[int, float] = {}
        self._generation = 0
        self._generation_of: dict[int, int] = {}
        """By `id`: which of the connections were made before the server was last in doubt."""

        self._doubted_at = float("-inf")
        self._closed = False

    @property
    def size(self) -> int:
        """How many connections there are, in use or not."""
        return self._size

    def open(self) -> None:
        """Nothing to do; Django calls it before each `getconn`."""

    def getconn(self) -> Connection:
        """A connection that was alive a moment ago, for `putconn` to take back.

        Whether the server has closed it is seen on the socket, so that costs no round trip.

        Raises:
            PoolBusyError: none became free in time.
            psycopg.OperationalError: the database does not take connections.
        """
        if (trusted := _trusted.get()) is not None:
            return self._lent(self._spare_one(trusted=trusted))
        give_up = self._clock() + self._timeout_s
        while True:
            idle = self._wait(give_up)
            if idle is None:
                return self._lent(self._new())
            if self._serves(idle):
                return self._lent(idle.connection)
            self._discard(idle.connection)

    def putconn(self, connection: Connection) -> None:
        """Take a connection back. What is left of a transaction is rolled back."""
        connection._pool = None  # noqa: SLF001 (no circle of references while it is idle)
        if (trusted := self._urgent.pop(id(connection), None)) is not None:
            self._spare[trusted].release()
            connection.close()
            return
        if connection.info.transaction_status in {
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        }:
            with suppress(psycopg.Error):  # its status tells then
                connection.rollback()
        if _takes_no_writes(connection):
            self.doubt()
        usable = connection.info.transaction_status is TransactionStatus.IDLE
        usable = usable and not self.doubts(connection)
        # Without autocommit the next statement would be rolled back when it comes here again.
        if self._closed or not usable or not connection.autocommit:
            self._discard(connection)
            return
        idle = _Idle(connection, self._clock())
        with self._lock:
            if self._waiters:
                self._serve(idle)
            else:
                self._idle.append(idle)

    def doubt(self) -> None:
        """Replace the connections that there are: their server takes no writes.

        After a failover the same address may lead to another server, and a setting of a role or a
        database holds for new sessions only. It happens every DOUBT_S at most.
        """
        with self._lock:
            now = self._clock()
            if now - self._doubted_at >= DOUBT_S:
                self._doubted_at = now
                self._generation += 1

    def doubts(self, connection: Connection) -> bool:
        """Return whether this connection was made before the server was last in doubt.

        A connection that is not the pool's is never in doubt.
        """
        return self._generation_of.get(id(connection), self._generation) < self._generation

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        with self._lock:
            self._closed = True
            idle = [each.connection for each in self._idle]
            self._idle.clear()
        for connection in idle:
            self._discard(connection)

    def _spare_one(self, *, trusted: bool) -> Connection:
        """A new connection beside the pool's own.

        Raises:
            PoolBusyError: as many are in use for urgent work already.
        """
        if not self._spare[trusted].acquire(timeout=URGENT_WAIT_S):
            raise PoolBusyError(
                f"all {SPARE} spare database connections of this process were in use"
                f" for {URGENT_WAIT_S:g} s"
            )
        try:
            connection = self._connect_urgently()
        except BaseException:
            self._spare[trusted].release()
            raise
        self._urgent[id(connection)] = trusted
        return connection

    def _lent(self, connection: Connection) -> Connection:
        connection._pool = self  # type: ignore[assignment]  # noqa: SLF001 (Django's way back)
        return connection

    def _wait(self, give_up: float) -> _Idle | None:
        """An idle connection; None: there is room for one more, and it is counted already.

        Raises:
            PoolBusyError: neither in time.
        """
        now = self._clock()
        with self._lock:
            if self._idle:  # then nobody waits
                # The one used last, so that what is not needed ages, and goes.
                aged = now - self._idle[0].since >= MAX_IDLE_S
                return self._idle.popleft() if aged else self._idle.pop()
            if self._size == 0:
                self._size = 1
                return None
            waiter = _Waiter()
            self._waiters.append(waiter)
        if waiter.served.wait(min(GROW_S, give_up - now)) or self._grows(waiter):
            return waiter.found
        if not waiter.served.wait(give_up - self._clock()) and self._gives_up(waiter):
            raise PoolBusyError(
                f"all {self._max_size} database connections of this process were in use "
                f"for {self._timeout_s:g} s: see DATABASE_POOL_SIZE"
            )
        return waiter.found

    def _serve(self, found: _Idle | None) -> None:
        """Give this to who has waited longest. Called under the lock, while somebody waits."""
        waiter = self._waiters.popleft()
        waiter.found = found
        waiter.served.set()

    def _grows(self, waiter: _Waiter) -> bool:
        """Whether it was served after all, or makes one more connection itself."""
        with self._lock:
            if waiter.served.is_set():
                return True
            if self._size >= self._max_size:
                return False
            self._size += 1
            self._waiters.remove(waiter)
            return True

    def _gives_up(self, waiter: _Waiter) -> bool:
        """Whether it waits no longer; False: it was served after all."""
        with self._lock:
            if waiter.served.is_set():
                return False
            self._waiters.remove(waiter)
            return True

    def _one_less(self) -> None:
        """A connection is gone: who has waited longest may make another."""
        with self._lock:
            if self._waiters and not self._closed:
                self._serve(None)
            else:
                self._size -= 1

    def _new(self) -> Connection:
        generation = self._generation  # before connecting: the doubt may come meanwhile
        try:
            connection = self._connect_unless_away()
        except BaseException:
            self._one_less()
            raise
        jitter = random.uniform(0.9, 1.0)  # noqa: S311 (spreads load, guards nothing)
        self._expire_at[id(connection)] = self._clock() + MAX_LIFETIME_S * jitter
        self._generation_of[id(connection)] = generation
        return connection

    def _connect_unless_away(self) -> Connection:
        began = self._clock()
        if began < self._away_until:
            raise psycopg.OperationalError("the database did not answer a moment ago")
        try:
            return self._connect()
        except psycopg.OperationalError:
            now = self._clock()
            self._away_until = now + min(now - began, SPOKEN_FOR_S)
            raise

    def _serves(self, idle: _Idle) -> bool:
        now = self._clock()
        young = now - idle.since < MAX_IDLE_S and now < self._expire_at[id(idle.connection)]
        sure = not self.doubts(idle.connection)
        return young and sure and not _has_ended(idle.connection)

    def _discard(self, connection: Connection) -> None:
        connection._pool = None  # noqa: SLF001
        connection.close()
        self._expire_at.pop(id(connection), None)
        self._generation_of.pop(id(connection), None)
        self._one_less()


def _takes_no_writes(connection: Connection) -> bool:
    """Whether the server has reported that its transactions only read."""
    pgconn = connection.pgconn
    if pgconn.status != ConnStatus.OK:
        return False
    return any(pgconn.parameter_status(name) == b"on" for name in _NO_WRITES)


def _has_ended(connection: Connection) -> bool:
    """Whether the server has said anything on an idle connection: mostly that it is over.

    Anything else, a notice say, is rare, and a new connection is cheap.
    """
    pgconn = connection.pgconn
    if pgconn.status != ConnStatus.OK:
        return True
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
