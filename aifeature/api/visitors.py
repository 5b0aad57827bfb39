"""Visitors, identified before authentication, and their request limits.

A token or session that this process has accepted before identifies its user. All other requests
count for their IP address, so that invented tokens get no limit of their own.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, NamedTuple

from aifeature.policies.networks import network
from aifeature.policies.rates import RateLimitStatus
from aifeature.services.jobs.refusals import RateLimited

logger = logging.getLogger(__name__)

BURST_S: Final = 5
"""A burst may have as many requests as are allowed in this many seconds."""

ADDRESS_FACTOR: Final = 5
"""Number of users that one address may represent."""

REMEMBERED: Final = 20_000
"""Most cached credentials and most cached buckets; the least recently used are removed first."""

TOLD_EVERY_S: Final = 60.0
"""Seconds between two log lines about refusals of one visitor."""

ANSWERED_PER_SECOND: Final = 20
LONGEST_DELAY_S: Final = 25.0
"""A refusal is sent after a second or more, so that a client cannot retry in a tight loop. One
visitor gets `ANSWERED_PER_SECOND`; none waits longer than `LONGEST_DELAY_S`."""

MOST_DELAYED: Final = 2_000
"""Most delayed refusals of one visitor."""

AGAIN_S: Final = 2
"""`Retry-After` of a visitor with too many requests, in seconds."""


class Kind(StrEnum):
    USER = "user"
    ADDRESS = "address"


class Visitor(NamedTuple):
    """A user or an address. Its requests count together."""

    kind: Kind
    key: str

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    notified_at: float = float("-inf")


class Visitors:
    """The visitors of one process. Safe for any number of threads."""

    def __init__(
        self, *, per_second: float, under_way: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with no known credential.

        Args:
            per_second: Requests of one user; five times as many of an address. 0: no limit.
            under_way: Most concurrent requests of one user; five times as many of an address.
            clock: Monotonic seconds.
        """
        self._per_second = per_second
        self._under_way = under_way
        self._clock = clock
        self._lock = threading.Lock()
        self._users: OrderedDict[bytes, Visitor] = OrderedDict()
        self._buckets: OrderedDict[Visitor, _Bucket] = OrderedDict()
        self._open: Counter[Visitor] = Counter()
        self._refused: Counter[Visitor] = Counter()

    def is_known(self, credential: bytes) -> bool:
        """Return whether the credential is empty or its user is cached."""
        return not credential or self.of(credential, "").kind is Kind.USER

    def of(self, credential: bytes, address: str) -> Visitor:
        """Return the visitor for a credential (empty: none) and an address."""
        if credential:
            with self._lock:
                digest = sha256(credential).digest()
                if user := self._users.get(digest):
                    self._users.move_to_end(digest)
                    return user
        return Visitor(Kind.ADDRESS, network(address))

    @contextmanager
    def request(self, credential: bytes, address: str) -> Iterator[Visit]:
        """Count a request within the block. Raises RateLimited if its visitor has sent too many."""
        visit = Visit(self, credential, self.of(credential, address))
        self._take(visit.visitor)
        token = _visit.set(visit)
        try:
            yield visit
        finally:
            _visit.reset(token)
            with self._lock:
                _less(self._open, visit.visitor)

    @contextmanager
    def refused(self, visitor: Visitor) -> Iterator[float | None]:
        """Count a delayed refusal within the block. Yield its delay in s; None if too many wait."""
        with self._lock:
            self._refused[visitor] += 1
            waiting = self._refused[visitor]
        try:
            too_many = waiting > MOST_DELAYED
            yield None if too_many else min(LONGEST_DELAY_S, 1 + waiting / ANSWERED_PER_SECOND)
        finally:
            with self._lock:
                _less(self._refused, visitor)

    def open_requests(self, visitor: Visitor) -> int:
        return self._open.get(visitor, 0)

    def remember(self, credential: bytes, user_id: int) -> Visitor:
        user = Visitor(Kind.USER, str(user_id))
        if credential:
            with self._lock:
                self._users[sha256(credential).digest()] = user
                _trim(self._users)
        return user

    def move(self, visit: Visit, user: Visitor) -> None:
        """Count a request for its user instead of its address.

        Raises RateLimited if the user has sent too many, or has too many in progress.
        """
        with self._lock:
            if visit.visitor == user:
                return
            wait_s = self._wait_s(user, self._per_second)
            if not wait_s and self._open[user] < self._under_way:
                _less(self._open, visit.visitor)
                self._open[user] += 1
                visit.visitor = user
                return
        why = f"more than {self._per_second:g} a second" if wait_s else f"{self._under_way} open"
        self._refuse(user, why, AGAIN_S)

    def forget(self, credential: bytes) -> None:
        with self._lock:
            self._users.pop(sha256(credential).digest(), None)

    def _take(self, visitor: Visitor) -> None:
        factor = 1 if visitor.kind is Kind.USER else ADDRESS_FACTOR
        with self._lock:
            wait_s = self._wait_s(visitor, self._per_second * factor)
            full = self._open[visitor] >= self._under_way * factor
            if not wait_s and not full:
                self._open[visitor] += 1
                return
        if wait_s:
            per_second = self._per_second * factor
            left = RateLimitStatus(
                math.ceil(per_second * BURST_S), window_s=BURST_S, remaining=0, reset_s=BURST_S
            )
            self._refuse(visitor, f"more than {per_second:g} a second", wait_s, left)
        self._refuse(visitor, f"{self._under_way * factor} open", AGAIN_S)

    def _wait_s(self, visitor: Visitor, per_second: float) -> int:
        """Return the seconds until the visitor may send a request; 0: now, and count it."""
        if not per_second:
            return 0
        full = max(1.0, per_second * BURST_S)
        bucket, now = self._bucket(visitor, full), self._clock()
        earned = (now - bucket.at) * per_second
        bucket.tokens, bucket.at = min(full, bucket.tokens + earned), now
        if bucket.tokens < 1:
            return AGAIN_S
        bucket.tokens -= 1
        return 0

    def _bucket(self, visitor: Visitor, full: float) -> _Bucket:
        bucket = self._buckets.get(visitor)
        if bucket is None:
            bucket = self._buckets[visitor] = _Bucket(full, self._clock())
            _trim(self._buckets)
        self._buckets.move_to_end(visitor)
        return bucket

    def _refuse(
        self, visitor: Visitor, why: str, retry_after_s: int, left: RateLimitStatus | None = None
    ) -> None:
        with self._lock:
            bucket = self._bucket(visitor, self._per_second * BURST_S)
            silent = self._clock() - bucket.notified_at < TOLD_EVERY_S
            if not silent:
                bucket.notified_at = self._clock()
        if not silent:
            logger.warning("requests of %s are refused: %s in this process", visitor, why)
        raise RateLimited(
            "You send too many requests. Wait a moment and try again.",
            retry_after_s=retry_after_s,
            left=left,
        )


@dataclass(slots=True)
class Visit:
    """A request in progress, and the visitor that it currently counts against."""

    visitors: Visitors
    credential: bytes
    visitor: Visitor
    on_known: Callable[[], object] = lambda: None
    """Called, in any thread, when the user of the credential is known."""

    def remember(self, user_id: int) -> Visitor:
        user = self.visitors.remember(self.credential, user_id)
        self.on_known()
        return user


_visit: ContextVar[Visit | None] = ContextVar("_visit", default=None)


def remember(user_id: int) -> None:
    """Cache this user for the credential of the current request."""
    if visit := _visit.get():
        visit.remember(user_id)


def forget() -> None:
    """Remove the credential of the current request from the cache."""
    if visit := _visit.get():
        visit.visitors.forget(visit.credential)


def recognise(user_id: int) -> None:
    """Count the current request for its signed-in user. Raises RateLimited like `Visitors.move`."""
    if visit := _visit.get():
        visit.visitors.move(visit, visit.remember(user_id))


def _less(counts: Counter[Visitor], visitor: Visitor) -> None:
    counts[visitor] -= 1
    if not counts[visitor]:
        del counts[visitor]


def _trim(remembered: OrderedDict[Any, Any]) -> None:
    if len(remembered) > REMEMBERED:
        remembered.popitem(last=False)
