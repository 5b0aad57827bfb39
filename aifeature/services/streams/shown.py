"""The text shown to readers of a job so far, read from Redis without a hub."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import redis

from aifeature.services.stores import redis_clients
from aifeature.services.streams import entries
from aifeature.services.streams.live_text import LiveText

logger = logging.getLogger(__name__)

EPOCHS: Final = 8
"""Number of latest epochs to read. Each run raises the epoch by one or two."""

TIMEOUT_S: Final = 0.5


def latest(job: UUID, epoch: int) -> str:
    """Return the text of the job's latest run that wrote any, up to this epoch.

    Empty if there is none or if Redis is unavailable, so that a cancellation never waits for it.
    """
    epochs = range(epoch, max(0, epoch - EPOCHS), -1)
    if not epochs:
        return ""
    try:
        found = _read(job, epochs)
    except (redis.RedisError, OSError) as error:
        logger.warning("streams: cannot read the text shown of job %s: %r", job, error)
        return ""
    return next((text for text in map(_text, epochs, found) if text), "")


def _read(job: UUID, epochs: range) -> list[Any]:
    with redis_clients.connect(TIMEOUT_S) as client:
        pipeline = client.pipeline(transaction=False)
        for epoch in epochs:
            pipeline.xrange(entries.key(job, epoch))
        return list(pipeline.execute())


def _text(epoch: int, found: list[Any]) -> str:
    live = LiveText(epoch)
    for _, fields in found:
        with suppress(ValueError):  # of another release
            live.take(entries.read(fields))
    return live.text
