"""Keeps each failed request for on-call, under the reference that its user was shown.

A failure is noted while it is answered, and stored when the request has ended. While the database
is away it is kept in this process and stored later. Rows are bounded: when many requests fail alike
within a minute, later ones are shown the reference of an earlier one.
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
"""Rows of one status that a process makes within a minute, beside the first of each kind."""

MOST_WAITING: Final = 500
"""Failures that wait for the database; more push out the oldest."""

RETRY_S: Final = 5.0
"""How long the database is left alone after it failed."""

KEPT: Final = timedelta(days=30)
MOST_KEPT: Final = 50_000

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Other methods are stored as one: a request may name any, and each would be a kind of its own."""

FRAMES: Final = 12
"""Innermost frames of a traceback that are kept."""

_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Noted:
    """A failure that is to be stored."""

    reference: str
    kind: tuple[int, str, str, str]
    """Status, method, place and code."""
    where: str
    at: float


class Failures:
    """The failures of this process; safe for any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            clock: Seconds that never go back.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[Noted] = deque(maxlen=MOST_WAITING)
        self._since = clock()
        self._made: Counter[int] = Counter()
        self._latest: dict[tuple[int, str, str, str], str] = {}
        self._not_before = float("-inf")

    def note(self, status: int, code: str, error: BaseException | None = None) -> str:
        """Note that the request of this context fails, and return the reference to show.

        Args:
            status: HTTP status of the answer.
            code: Why, if `error` does not say it.
            error: The exception behind it. Its message is not kept: it may quote an input.

        Returns:
            Empty outside of a request.
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
        """The request's own reference, or that of one that failed alike a moment ago."""
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
        """Return whether there is something to store, and the database may be asked."""
        return bool(self._waiting) and self._clock() >= self._not_before

    def store(self) -> None:
        """Store what is noted. Raises nothing: an answer must not fail with its record."""
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
            logger.warning("failed requests are not stored yet: %s", type(error).__name__)
            with self._lock:
                self._not_before = self._clock() + RETRY_S
                self._waiting.extendleft(reversed(waiting[: MOST_WAITING - len(self._waiting)]))


failures: Final = Failures()
"""Of this process."""


def prune(*, kept: timedelta = KEPT, most: int = MOST_KEPT) -> int:
    """Delete failures older than `kept`, and all but `most`; return how many.

    The newest stay, and faults of ours before what anybody can bring about.
    """
    old = WebFailure.objects.filter(at__lt=Now() - kept).delete()[0]
    ours = When(status__gte=HTTPStatus.INTERNAL_SERVER_ERROR, then=Value(0))
    by_worth = WebFailure.objects.order_by(Case(ours, default=Value(1)), "-at", "pk")
    beyond = by_worth.values("pk")[most:]
    return old + WebFailure.objects.filter(pk__in=beyond).delete()[0]


def where_of(error: BaseException | None) -> str:
    """Return the innermost frames of a traceback, without the message of its exception."""
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
