"""A fair pool of threads for the synchronous parts of requests.

Django runs the synchronous parts of a request one after another in one thread. By default, asgiref
starts a thread per request, so a thousand requests are a thousand threads, which share one
interpreter and one pool of database connections. Here a request takes a turn with one of a few
threads, and releases it while it waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Final, NoReturn, ParamSpec, Self, TypeVar

from django.db import connections

from aifeature.services.jobs.refusals import Overloaded

LONGEST_WAIT_S: Final = 10.0
"""A request that waited longer is refused when it gets a thread: its client has given up, or soon
will, and the requests behind it would wait for nothing."""

RETRY_S: Final = 5

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_current: ContextVar[Turn | None] = ContextVar("_current", default=None)


def give_connections_back() -> None:
    """Return this thread's database connections to their pool, unless a transaction is open."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


class FairThreads:
    """A fixed number of threads, given to waiting visitors in rotation.

    One visitor has at most a quarter of them at a time. So a visitor whose requests wait for a
    locked row, or need much CPU time in the shared interpreter, leaves the rest to others.
    """

    def __init__(
        self,
        size: int,
        *,
        name: str,
        at_end: Callable[[], None] = give_connections_back,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start no thread yet. A thread starts when it is first needed.

        Args:
            size: Maximum number of threads.
            name: Prefix of the threads' names.
            at_end: Called in the thread at the end of each turn.
            clock: Monotonic seconds.
        """
        self.clock = clock
        self._size = size
        self._most = max(1, size // 4)
        self._name = name
        self._at_end = at_end
        self._wanted = threading.Condition()
        self._queues: OrderedDict[Hashable, deque[_Lease]] = OrderedDict()
        """Leases without a thread by visitor; the visitor at the front is next."""
        self._running: Counter[Hashable] = Counter()
        self._threads = 0
        self._idle = 0

    def turn(self, visitor: Callable[[], Hashable]) -> Turn:
        """Return a turn for one request. It calls `visitor` each time it needs a thread."""
        return Turn(self, visitor)

    def waiting(self) -> int:
        with self._wanted:
            return sum(map(len, self._queues.values()))

    def waiting_of(self, visitor: Hashable) -> int:
        with self._wanted:
            return len(self._queues.get(visitor, ()))

    def add(self, lease: _Lease) -> None:
        with self._wanted:
            self._queues.setdefault(lease.visitor, deque()).append(lease)
            if self._idle:
                self._idle -= 1  # before it wakes up, so that no other lease counts on it
                self._wanted.notify()
                return
            if self._threads == self._size:
                return
            self._threads += 1
            name = f"{self._name}-{self._threads}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:  # the system cannot start more threads
            with self._wanted:
                self._threads -= 1
            raise

    def _work(self) -> None:
        while True:
            lease = self._next()
            try:
                lease.run()
                self._at_end()
            except Exception:  # the pool would lose a thread that ends here
                logger.exception("request thread: the cleanup after a request failed")
            finally:
                with self._wanted:
                    self._running[lease.visitor] -= 1
                    if not self._running[lease.visitor]:
                        del self._running[lease.visitor]

    def _next(self) -> _Lease:
        with self._wanted:
            while (lease := self._take()) is None:
                self._idle += 1
                self._wanted.wait()
            return lease

    def _take(self) -> _Lease | None:
        for visitor, queue in self._queues.items():
            if self._running[visitor] >= self._most:
                continue
            lease = queue.popleft()
            self._running[visitor] += 1
            if queue:
                self._queues.move_to_end(visitor)
            else:
                del self._queues[visitor]
            return lease
        return None


def _refuse() -> NoReturn:
    raise Overloaded("We are busy. Try again in a moment.", retry_after_s=RETRY_S)


class _Lease:
    """The calls of one request between two waits; they run in one thread, in order."""

    def __init__(self, visitor: Hashable, *, expires: Callable[[], bool]) -> None:
        self.visitor = visitor
        self._expires = expires
        self._calls: SimpleQueue[Callable[[bool], None] | None] = SimpleQueue()

    def add(self, call: Callable[[bool], None]) -> None:
        self._calls.put(call)

    def end(self) -> None:
        self._calls.put(None)

    def run(self) -> None:
        too_late = self._expires()
        while (call := self._calls.get()) is not None:
            call(too_late)
            too_late = False  # the response must pass the middleware


class Turn(Executor):
    """The executor of one request, for `asgiref.sync.ThreadSensitiveContext`.

    The event loop submits its calls one at a time.
    """

    def __init__(self, threads: FairThreads, visitor: Callable[[], Hashable]) -> None:
        self._threads = threads
        self._visitor = visitor
        self._lease: _Lease | None = None
        self.is_patient = False
        """Whether it waits for a thread without limit, because its response has begun."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in this request's thread. The future raises Overloaded after too long a wait."""
        future: Future[T] = Future()

        def call(too_late: bool) -> None:  # noqa: FBT001 (ours alone)
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = _refuse() if too_late else fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 (the future carries it to its caller)
                future.set_exception(error)
            else:
                future.set_result(result)

        lease = self._lease
        if lease is None:
            lease = self._lease = _Lease(self._visitor(), expires=self._expiry())
            lease.add(call)
            self._threads.add(lease)
        else:
            lease.add(call)
        return future

    def _expiry(self) -> Callable[[], bool]:
        clock = self._threads.clock
        until = clock() + LONGEST_WAIT_S
        return lambda: not self.is_patient and clock() > until

    def let_go(self) -> None:
        """Release the thread while the request waits. A later call takes another one."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end()

    def __enter__(self) -> Self:
        """Be the current turn within the block, and release the thread at its end."""
        self._token = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
        del self._token  # it refers to the previous turn, and so on
        self.let_go()


def let_go() -> None:
    """Release the thread of the current request until it needs one again.

    Does nothing without a turn: synchronous code then waits in its own thread.
    """
    turn = _current.get()
    if turn is not None:
        turn.let_go()
