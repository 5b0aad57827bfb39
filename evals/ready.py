"""The parts of the system without which no evaluation makes progress."""

from __future__ import annotations

from typing import Final

import redis
from django.conf import settings
from django.db import Error

from aifeature.services.monitoring import signs_of_life
from project.stack.signals import wait_until

HINT: Final = "On a system of its own: python -m evals.local"

START_S: Final = 5.0
"""Most seconds until the workers of a new system have sent a sign of life."""


def missing() -> str:
    """Return which part of the system does not run; empty if all do."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=START_S) as client:
            client.ping()
        if not wait_until(lambda: not _without_worker(), timeout_s=START_S):
            return f"No worker serves the queue {' and the queue '.join(_without_worker())}."
    except redis.RedisError:
        return "The broker (REDIS_URL) does not answer."
    except Error:
        return "The database (DATABASE_URL) does not answer, or has no tables."
    return ""


def _without_worker() -> list[str]:
    seen = signs_of_life.last_seen()
    return [queue for queue in ("evals", "control") if seen[queue].is_gone]
