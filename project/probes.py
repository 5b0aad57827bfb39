"""Is the process alive, and may it get traffic? Answers for load balancers and orchestrators."""

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
"""Seconds for which one answer holds: probes may come as often as they like."""


@dataclass(frozen=True, slots=True)
class _Found:
    database: database_state.State
    redis: redis_state.State


class Readiness:
    """Looks at the stores when the last look is old; safe for any number of threads."""

    def __init__(
        self, look: Callable[[], _Found], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare.

        Args:
            look: At both stores.
            clock: Seconds that never go back.
        """
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._found: _Found | None = None
        self._looked_at = float("-inf")

    def found(self) -> _Found:
        """Return what the latest look found. Who comes during a look waits for it."""
        with self._lock:
            if self._found is None or self._clock() - self._looked_at >= EVERY_S:
                self._found = self._look()
                self._looked_at = self._clock()
            return self._found

    def forget(self) -> None:
        """Look again at the next probe."""
        with self._lock:
            self._found = None


def _look() -> _Found:
    found = _Found(database_state.check(), redis_state.look())
    for name, state in (("PostgreSQL", found.database), ("Redis", found.redis)):
        if state.sentence:
            logger.warning("readyz: %s: %s. %s", name, state.word, state.sentence)
    return found


readiness: Final = Readiness(_look)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 (a view's form)
    """200 while the process answers at all. Asks nobody else: a restart would not help them."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 (a view's form)
    """200 while PostgreSQL takes a write, else 503; `checks` say in a word what is in the way.

    Without Redis jobs are accepted all the same, so that is `degraded` and still 200. Where the
    stores stand is never said.
    """
    found = readiness.found()
    database, redis = found.database.word, found.redis.word
    writes = database == database_state.OK
    status = "unavailable" if not writes else "ready" if redis == redis_state.OK else "degraded"
    return JsonResponse(
        {"status": status, "checks": {"database": database, "redis": redis}},
        status=HTTPStatus.OK if writes else HTTPStatus.SERVICE_UNAVAILABLE,
    )
