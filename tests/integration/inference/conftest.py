"""An empty Redis, and a rate gate on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import SharedState, connect


@pytest.fixture
def raw_redis() -> Iterator[redis.Redis]:
    """The Redis of the run, empty."""
    client = redis.Redis.from_url(settings.REDIS_URL, protocol=2)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


@pytest.fixture
def state(raw_redis: redis.Redis) -> SharedState:
    return connect(settings.REDIS_URL, settings.REDIS_SOCKET)


@pytest.fixture
def gate(state: SharedState) -> RateGate:
    return RateGate(state)
