"""Who a request comes from, before anybody has been asked, and how much one visitor may ask for.

A token or a session that was accepted by this process before stands for its user. All other
requests count for their address, so that made-up tokens buy nobody a share of their own.
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
"""A visitor may send as many requests at once as in this many seconds."""

ADDRESS_FACTOR: Final = 5
"""How many users one address may stand for."""

REMEMBERED: Final = 20_000
"""Most credentials and buckets that a process remembers; those used least recently go first."""

TOLD_EVERY_S: Final = 60.0
"""A visitor who is refused is logged so often."""

ANSWERED_PER_SECOND: Final = 20
LONGEST_DELAY_S: Final = 25.0
"""Refusals are answered after a second or more: so many of one visitor's in a second, as long as
none waits longer than this. A client that asks again at once cannot ask all the time then."""

MOST_DELAYED: Final = 2_000
"""Refusals of one visitor that wait."""

AGAIN_S: Final = 2
"""What a visitor with too many open requests is asked to wait, in seconds."""


class Kind(StrEnum):
    """What a visitor is known by."""

    USER = "user"
    ADDRESS = "address"


class Visitor(NamedTuple):
    """Somebody whose requests count together."""

    kind: Kind
    key: str

    def __str__(self) -> str:
        """As it stands in a log."""
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
        """Nobody is known yet.

        Args:
            per_second: Requests of one user; of an address five times as many. 0: no limit.
            under_way: Most requests of one user at a time; of an address five times as many.
            clock: Seconds that never go back.
        """
        self._per_second = per_second
        self._under_way = under_way
        self._clock = clock
        self._lock = threading.Lock()
        self._users: OrderedDict[bytes, Visitor] = OrderedDict()
        self._buckets: OrderedDict[Visitor, _Bucket] = OrderedDict()
        self._open: Counter[Visitor] = Counter()
        self._refused: Counter[Visitor] = Counter()

    def knows(self, credential: bytes) -> bool:
        """Whether it is known who shows this credential, if one is shown."""
        return not credential or self.of(credential, "").kind is Kind.USER

    def of(self, credential: bytes, address: str) -> Visitor:
        """Who sends a request with this credential (empty: none) from this address."""
        if credential:
            with self._lock:
                digest = sha256(credential).digest()
                if user := self._users.get(digest):
                    self._users.move_to_end(digest)
                    return user
        return Visitor(Kind.ADDRESS, network(address))

    @contextmanager
    def request(self, credential: bytes, address: str) -> Iterator[Visit]:
        """Count a request as under way within the block.

        Raises:
            RateLimited: its visitor has sent too many.
        """
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
        """Count a refusal whose answer waits within the block, for so many seconds.

        None: too many of this visitor's wait; it is answered at once.
        """
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
        """How many requests of a visitor are under way."""
        return self._open.get(visitor, 0)

    def remember(self, credential: bytes, user_id: int) -> Visitor:
        """Note whose credential this is."""
        user = Visitor(Kind.USER, str(user_id))
        if credential:
            with self._lock:
                self._users[sha256(credential).digest()] = user
                _trim(self._users)
        return user

    def move(self, visit: Visit, user: Visitor) -> None:
        """Count a request that is under way for its user, no longer for its address.

        Raises:
            RateLimited: the user has sent too many, or has too many under way.
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
        """Nobody is known by this credential any more."""
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
        """Seconds until the visitor may send a request; 0: now, and it is counted."""
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
    """A request that is under way, and who it counts for at the moment."""

    visitors: Visitors
    credential: bytes
    visitor: Visitor
    on_known: Callable[[], object] = lambda: None
    """Called, in any thread, when it is known whose credential this is."""

    def remember(self, user_id: int) -> Visitor:
        """Note that it comes from this user."""
        user = self.visitors.remember(self.credential, user_id)
        self.on_known()
        return user


_visit: ContextVar[Visit | None] = ContextVar("_visit", default=None)


def remember(user_id: int) -> None:
    """Note that the request that is being answered here comes from this user."""
    if visit := _visit.get():
        visit.remember(user_id)


def forget() -> None:
    """Note that what the request that is being answered here shows is nobody's."""
    if visit := _visit.get():
        visit.visitors.forget(visit.credential)


def recognise(user_id: int) -> None:
    """Count the request that is being answered here for this user, who has signed in.

    Raises:
        RateLimited: the user has too many requests under way.
    """
    if visit := _visit.get():
        visit.visitors.move(visit, visit.remember(user_id))


def _less(counts: Counter[Visitor], visitor: Visitor) -> None:
    counts[visitor] -= 1
    if not counts[visitor]:
        del counts[visitor]


def _trim(remembered: OrderedDict[Any, Any]) -> None:
    if len(remembered) > REMEMBERED:
        remembered.popitem(last=False)
