"""From settings to the process's gates, for all processes: the provider's SDK is not loaded."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from workers.inference.breaker import Forced
from workers.inference.gate import Gate
from workers.inference.shared_state import SharedState, connect
from workers.inference.token_bucket import RequestLimiter


@cache
def gate() -> Gate:
    """The breakers, token buckets and provider limits, shared with all processes through Redis."""
    return Gate(shared_state(), forced=_not_forced)


@cache
def request_limiter() -> RequestLimiter:
    """How many requests a minute each user may submit."""
    return RequestLimiter(shared_state())


@cache
def shared_state() -> SharedState:
    """The one client of this process for both, so that an outage is noticed once."""
    return connect(settings.REDIS_URL, settings.REDIS_SOCKET)


def _not_forced(_model: str) -> Forced:
    return ""
