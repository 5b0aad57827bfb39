"""Notifies waiting requests, streams and long polls, when their process must stop.

A server waits for its open requests before it ends, and these would stay open. So they respond
immediately, and their clients reconnect to another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary


class _Loop:
    def __init__(self) -> None:
        self.is_stopping = False
        self.waiting: set[Callable[[], None]] = set()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()


def _of(loop: asyncio.AbstractEventLoop) -> _Loop:
    return _loops.setdefault(loop, _Loop())


def begin(loop: asyncio.AbstractEventLoop) -> None:
    """Notify the waiting requests of this loop. Call it in the loop's own thread."""
    state = _of(loop)
    state.is_stopping = True
    for call in tuple(state.waiting):
        call()


def is_stopping() -> bool:
    return _of(asyncio.get_running_loop()).is_stopping


@contextmanager
def on_stop(call: Callable[[], None]) -> Iterator[None]:
    """Within the block, run `call` when this loop must stop, or immediately if it must already."""
    state = _of(asyncio.get_running_loop())
    state.waiting.add(call)
    if state.is_stopping:
        call()
    try:
        yield
    finally:
        state.waiting.discard(call)
