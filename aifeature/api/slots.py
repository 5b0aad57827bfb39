"""Limit of open streams per user in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from django.conf import settings

from aifeature.api.refusals import TooManyStreams

RETRY_AFTER_S: Final = 5

_open: Counter[int] = Counter()


def take(user_id: int) -> None:
    """Take a slot until the current request ends. Raises TooManyStreams if none is free."""
    if _open[user_id] >= settings.AIFEATURE["STREAMS_PER_USER"]:
        raise TooManyStreams(
            "You have too many live views open. Close one, or poll the job instead.",
            retry_after_s=RETRY_AFTER_S,
        )
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("called from a coroutine")
    _open[user_id] += 1

    # Tied to the task: if a client disconnects early, the response may never be created or closed.
    def give_back(_: object) -> None:
        _open[user_id] -= 1
        if not _open[user_id]:
            del _open[user_id]

    task.add_done_callback(give_back)


def taken(user_id: int) -> int:
    return _open.get(user_id, 0)
