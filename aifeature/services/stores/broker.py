"""The connection through which a process publishes tasks, with short time-outs and no retries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from celery import current_app
from django.conf import settings
from kombu import Connection, Producer
from kombu.exceptions import KombuError
from kombu.pools import producers
from redis.exceptions import RedisError

PUBLISH_TIMEOUT_S: Final = 0.25
"""Seconds to wait for each answer of the broker."""

BROKER_ERRORS: Final = (KombuError, RedisError, OSError)
"""Errors of publishing while the broker is unavailable or refuses a message."""


@contextmanager
def producer() -> Iterator[Producer]:
    """Yield a producer from this process's pool. Raises BROKER_ERRORS."""
    with producers[connection()].acquire(block=True, timeout=PUBLISH_TIMEOUT_S) as acquired:
        yield acquired


def send(task: str, *, args: Sequence[Any], kwargs: Mapping[str, Any], queue: str) -> None:
    """Send one task, within the time-out of a publish. Raises BROKER_ERRORS."""
    with producer() as acquired:
        current_app.send_task(
            task, args=args, kwargs=dict(kwargs), queue=queue, producer=acquired, retry=False,
            ignore_result=True,
        )  # fmt: skip


@cache
def connection() -> Connection:
    """Return the broker connection of all publishers."""
    options: dict[str, Any] = {
        **current_app.conf.broker_transport_options,
        "socket_timeout": PUBLISH_TIMEOUT_S,
        "socket_connect_timeout": PUBLISH_TIMEOUT_S,
        "max_retries": 0,  # by default, kombu retries a connection after two seconds
    }
    return Connection(
        settings.CELERY_BROKER_URL, transport_options=options, connect_timeout=PUBLISH_TIMEOUT_S
    )
