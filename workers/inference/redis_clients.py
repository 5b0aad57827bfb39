"""Factory of all Redis clients: with short timeouts and without retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(
    url: str, *, timeout_s: float, options: Mapping[str, Any], max_connections: int | None = None
) -> redis.Redis:
    """Return a client with its own pool, not connected yet.

    `timeout_s` limits connecting and each response. `options` are further connection options.
    """
    return redis.Redis.from_url(url, **_all(timeout_s, options), max_connections=max_connections)


def connect_async(url: str, *, timeout_s: float, options: Mapping[str, Any]) -> redis.asyncio.Redis:
    """Return the same client for the running event loop."""
    own = {"retry": AsyncRetry(NoBackoff(), 0)}
    return redis.asyncio.Redis.from_url(url, **{**_all(timeout_s, options), **own})


def _all(timeout_s: float, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **options,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
