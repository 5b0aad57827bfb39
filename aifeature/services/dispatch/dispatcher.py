"""The dispatcher: the thread of the control worker that fills the window and ends overdue jobs.

It sleeps until the next job is due. Beat's tick does most of the same work less often, in case no
dispatcher runs. Any number of both may run at the same time.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Final

import redis

from aifeature.models import fair_queue
from aifeature.policies import redis_replies
from aifeature.services import watch
from aifeature.services.background import Loop
from aifeature.services.dispatch import publisher, recovery
from aifeature.services.dispatch.paused_jobs import PausedJobs
from aifeature.services.stores import redis_clients

logger = logging.getLogger(__name__)

MOST_SLEEP_S: Final = 1.0
"""Longest sleep. A job may become due earlier than expected when the sleep began."""

LEAST_SLEEP_S: Final = 0.2
"""Shortest sleep, while jobs wait for room. Workers also refill the window after each job."""

MARKER: Final = "aifeature:broker-has-not-lost-anything"
"""A key in the broker. If it is missing, the messages are lost too."""

TIMEOUT_S: Final = 0.5


_paused_jobs: Final = PausedJobs()


class Dispatcher:
    """Runs until it is stopped. One per process is enough."""

    def __init__(self) -> None:
        self._watcher = watch.Watcher(after_s=watch.EVERY_S)
        self._loop = Loop("dispatcher", self._turn, retry_s=MOST_SLEEP_S)

    def start(self) -> None:
        self._loop.wake()

    def stop(self) -> None:
        self._loop.stop(within_s=MOST_SLEEP_S)

    def _turn(self) -> float:
        self._watcher.check()
        return turn()


def turn() -> float:
    """Run all steps once. Return the seconds until the next turn."""
    notice_lost_messages()
    recovery.sweep()
    _paused_jobs.resume()
    due = fair_queue.next_due_s()
    return MOST_SLEEP_S if due is None else min(MOST_SLEEP_S, max(LEAST_SLEEP_S, due))


def notice_lost_messages() -> None:
    """Mark all jobs as unpublished if the broker has lost its data since they were published."""
    try:
        if _client().exists(MARKER):
            return
        count = publisher.take_all_back()
        _client().set(MARKER, 1)
    except (redis.RedisError, OSError) as error:
        logger.debug("dispatcher: the broker does not answer: %r", error)
        if redis_replies.is_read_only(error):  # after a failover, reconnect to the new primary
            _client().connection_pool.disconnect(inuse_connections=False)
        return
    if count:
        logger.warning("dispatcher: the broker lost its data, %d jobs are sent again", count)


@cache
def _client() -> redis.Redis:
    return redis_clients.connect(TIMEOUT_S)
