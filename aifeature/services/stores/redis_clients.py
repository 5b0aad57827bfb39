"""Clients of the Redis that the settings name."""

from __future__ import annotations

import redis
import redis.asyncio
from django.conf import settings

from workers.inference import redis_clients


def connect(timeout_s: float) -> redis.Redis:
    """Return a client with a pool of its own; see `workers.inference.redis_clients.connect`."""
    return redis_clients.connect(
        settings.REDIS_URL, timeout_s=timeout_s, options=settings.REDIS_SOCKET
    )


def connect_async(timeout_s: float) -> redis.asyncio.Redis:
    """Return the same for the running event loop."""
    return redis_clients.connect_async(
        settings.REDIS_URL, timeout_s=timeout_s, options=settings.REDIS_SOCKET
    )
