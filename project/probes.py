"""Is the process alive, and may it get traffic? Answers for load balancers and orchestrators."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

import psycopg
import redis
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

DATABASE_TIMEOUT_S: Final = 2
REDIS_TIMEOUT_S: Final = 0.5


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 (a view's form)
    """200 while the process answers at all. Asks nobody else: a restart would not help them."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 (a view's form)
    """200 while PostgreSQL answers, else 503; says which part is down, never where it stands.

    Without Redis jobs are accepted all the same, so that is `degraded` and still 200.
    """
    database, broker = _database_answers(), _redis_answers()
    status = "unavailable" if not database else "ready" if broker else "degraded"
    checks = {"database": _word(answers=database), "redis": _word(answers=broker)}
    return JsonResponse(
        {"status": status, "checks": checks},
        status=HTTPStatus.OK if database else HTTPStatus.SERVICE_UNAVAILABLE,
    )


def _word(*, answers: bool) -> str:
    return "ok" if answers else "down"


def _database_answers() -> bool:
    """Asks over a connection of its own: a busy pool is load, not an outage."""
    parameters = {
        **connection.get_connection_params(),
        "connect_timeout": DATABASE_TIMEOUT_S,
        "options": f"-c statement_timeout={DATABASE_TIMEOUT_S * 1000}",
    }
    try:
        with psycopg.connect(**parameters) as fresh:
            fresh.execute("SELECT 1")
    except psycopg.Error as error:
        logger.warning("readyz: the database does not answer: %s", type(error).__name__)
        return False
    return True


def _redis_answers() -> bool:
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        **settings.REDIS_SOCKET,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        logger.warning("readyz: Redis does not answer: %s", type(error).__name__)
        return False
    return True
