"""Stores failed web requests for on-call, under the reference that the user was shown.

A failure is noted with the answer and stored after the request has ended. While the database is
unavailable, failures are kept in this process. The number of rows is limited: if many requests fail
in the same way within a minute, later ones are shown the reference of an earlier one.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Case, Value, When
from django.db.models.functions import Now
from django.http import HttpRequest

from aifeature.models import WebFailure
from aifeature.services.texts import references

logger = logging.getLogger(__name__)

PER_MINUTE: Final = 20
"""Most rows per status, process and minute, besides the first row of each kind."""

MOST_WAITING: Final = 500
"""Most failures that wait for the database. After that the oldest are dropped."""

RETRY_S: Final = 5.0
"""Seconds without an attempt to store after the database failed."""

KEPT: Final = timedelta(days=30)
MOST_KEPT: Final = 50_000

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Other methods are stored as "other". A client can send any name, and each would be a new kind."""

FRAMES: Final = 12
"""Number of innermost traceback frames to keep."""

_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Noted:
    """A failure that is not stored yet."""

    reference: str
    kind: tuple[int, str, str, str]
    """Status, method, place and code."""
    where: str
    at: float


class Failures:
    """The failures of this process. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[Noted] = deque(maxlen=MOST_WAITING)
        self._since = clock()
        self._made: Counter[int] = Counter()
        self._latest: dict[tuple[int, str, str, str], str] = {}
        self._not_before = float("-inf")

    def note(self, status: int, code: str, error: BaseException | None = None) -> str:
        """Note that the current request fails. Return the reference to show.

        Returns an empty string outside of a request. `error` replaces `code` by its type. Its
        message is not stored, because it may quote an input.
        """
        visit = references.visit.get()
        if visit is None:
            return ""
        if visit.is_noted:
            return visit.reference
        visit.is_noted = True
        match = visit.request.resolver_match if visit.request else None
        method = _method(visit.request) if visit.request else ""
        if error is not None:
            code = type(error).__name__
        kind = (status, method, (match.route if match else "")[:200], code[:80])
        with self._lock:
            if isinstance(error, DatabaseError | InterfaceError):
                self._not_before = self._clock() + RETRY_S
            visit.reference = self._reference(kind, visit.reference, where_of(error))
        return visit.reference

    def _reference(self, kind: tuple[int, str, str, str], own: str, where: str) -> str:
        """Return the request's own reference, or that of an earlier failure of the same kind."""
        now = self._clock()
        if now - self._since >= _MINUTE_S:
            self._since, self._made, self._latest = now, Counter(), {}
        earlier = self._latest.get(kind)
        if earlier is not None and self._made[kind[0]] >= PER_MINUTE:
            return earlier
        self._made[kind[0]] += 1
        self._latest[kind] = own
        self._waiting.append(Noted(own, kind, where, now))
        return own

    def must_store(self) -> bool:
        """Return whether failures are waiting and the database may be tried."""
        return bool(self._waiting) and self._clock() >= self._not_before

    def store(self) -> None:
        """Store all noted failures. Never raises, so that the answer does not fail."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        now = self._clock()
        try:
            with transaction.atomic():
                WebFailure.objects.bulk_create(
                    [_row(noted, age_s=now - noted.at) for noted in waiting], ignore_conflicts=True
                )
        except Exception as error:  # noqa: BLE001 (see the docstring)
            logger.warning("failed requests not stored yet: %s", type(error).__name__)
            with self._lock:
                self._not_before = self._clock() + RETRY_S
                self._waiting.extendleft(reversed(waiting[: MOST_WAITING - len(self._waiting)]))


failures: Final = Failures()


def prune(*, kept: timedelta = KEPT, most: int = MOST_KEPT) -> int:
    """Delete failures older than `kept`, then all but `most`. Return the number deleted.

    Keeps server errors before errors that a client can cause, and newer ones before older ones.
    """
    old = WebFailure.objects.filter(at__lt=Now() - kept).delete()[0]
    ours = When(status__gte=HTTPStatus.INTERNAL_SERVER_ERROR, then=Value(0))
    by_worth = WebFailure.objects.order_by(Case(ours, default=Value(1)), "-at", "pk")
    beyond = by_worth.values("pk")[most:]
    return old + WebFailure.objects.filter(pk__in=beyond).delete()[0]


def where_of(error: BaseException | None) -> str:
    """Return the innermost frames of a traceback, without the exception's message."""
    if error is None:
        return ""
    return "".join(traceback.format_tb(error.__traceback__)[-FRAMES:])


def _method(request: HttpRequest) -> str:
    method = request.method or ""
    return method if method in METHODS else "other"


def _row(noted: Noted, *, age_s: float) -> WebFailure:
    status, method, place, code = noted.kind
    return WebFailure(
        reference=noted.reference,
        at=Now() - timedelta(seconds=age_s),
        status=status,
        method=method,
        place=place,
        code=code,
        where=noted.where,
    )
