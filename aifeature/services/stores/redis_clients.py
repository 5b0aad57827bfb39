"""Clients of the Redis server in the settings."""

from __future__ import annotations

import redis
import redis.asyncio
from django.conf import settings

from workers.inference import redis_clients


def connect(timeout_s: float) -> redis.Redis:
    """Return a client with its own pool; see `workers.inference.redis_clients.connect`."""
    return redis_clients.connect(
        settings.REDIS_URL, timeout_s=timeout_s, options=settings.REDIS_SOCKET
    )


def connect_async(timeout_s: float) -> redis.asyncio.Redis:
    """Return a client for the running event loop."""
    return redis_clients.connect_async(
        settings.REDIS_URL, timeout_s=timeout_s, options=settings.REDIS_SOCKET
    )
