"""Liveness and readiness probes for load balancers and orchestrators."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from aifeature.services.stores import redis_state
from project.database import health as database_state

logger = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""Seconds for which a result is cached, so frequent probes cost nothing."""


@dataclass(frozen=True, slots=True)
class _Found:
    database: database_state.State
    redis: redis_state.State


class Readiness:
    """A cached check of PostgreSQL and Redis. Safe for any number of threads."""

    def __init__(
        self, check: Callable[[], _Found], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start without a result.

        Args:
            check: Checks both stores.
            clock: Monotonic seconds.
        """
        self._check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._found: _Found | None = None
        self._checked_at = float("-inf")

    def found(self) -> _Found:
        """Return the latest result. Threads that call this during a check wait for it."""
        with self._lock:
            if self._found is None or self._clock() - self._checked_at >= EVERY_S:
                self._found = self._check()
                self._checked_at = self._clock()
            return self._found

    def forget(self) -> None:
        """Discard the result, so that the next probe checks again."""
        with self._lock:
            self._found = None


def _check() -> _Found:
    found = _Found(database_state.check(), redis_state.check())
    for name, state in (("PostgreSQL", found.database), ("Redis", found.redis)):
        if state.sentence:
            logger.warning("readyz: %s: %s. %s", name, state.word, state.sentence)
    return found


readiness: Final = Readiness(_check)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 (a view's form)
    """Return 200. It checks no other service, since a restart of this process would not help."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 (a view's form)
    """Return 200 while PostgreSQL accepts a write, otherwise 503. `checks` has each store's state.

    Without Redis the site still accepts jobs, so it is `degraded` and returns 200. The response
    contains no addresses.
    """
    found = readiness.found()
    database, redis = found.database.word, found.redis.word
    writes = database == database_state.OK
    status = "unavailable" if not writes else "ready" if redis == redis_state.OK else "degraded"
    return JsonResponse(
        {"status": status, "checks": {"database": database, "redis": redis}},
        status=HTTPStatus.OK if writes else HTTPStatus.SERVICE_UNAVAILABLE,
    )
