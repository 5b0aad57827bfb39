"""The connection through which this process publishes tasks: short time limits and no retries."""

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
"""Seconds that one answer of a slow broker may hold a publisher up."""

BROKER_ERRORS: Final = (KombuError, RedisError, OSError)
"""What publishing raises while the broker does not take a message."""


@contextmanager
def producer() -> Iterator[Producer]:
    """A producer of this process's pool.

    Raises:
        One of BROKER_ERRORS: the broker does not answer.
    """
    with producers[connection()].acquire(block=True, timeout=PUBLISH_TIMEOUT_S) as acquired:
        yield acquired


def send(task: str, *, args: Sequence[Any], kwargs: Mapping[str, Any], queue: str) -> None:
    """Send one task, within the time that a publish may take.

    Raises:
        One of BROKER_ERRORS: the broker did not take it.
    """
    with producer() as acquired:
        current_app.send_task(
            task, args=args, kwargs=dict(kwargs), queue=queue, producer=acquired, retry=False,
            ignore_result=True,
        )  # fmt: skip


@cache
def connection() -> Connection:
    """The broker connection of all publishers. A failed publish is never retried in place."""
    options: dict[str, Any] = {
        **current_app.conf.broker_transport_options,
        "socket_timeout": PUBLISH_TIMEOUT_S,
        "socket_connect_timeout": PUBLISH_TIMEOUT_S,
        "max_retries": 0,  # of kombu's connecting; left out, it waits two seconds before the next
    }
    return Connection(
        settings.CELERY_BROKER_URL, transport_options=options, connect_timeout=PUBLISH_TIMEOUT_S
    )
