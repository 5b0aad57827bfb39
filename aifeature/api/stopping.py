"""Tells requests that wait, streams and long-polls, when their process is asked to stop.

A server waits for its open requests before it ends, and they would not end by themselves. So they
answer at once, and their clients come back to another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary


class _Loop:
    """One event loop's requests that wait."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.waiting: set[Callable[[], None]] = set()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()


def _of(loop: asyncio.AbstractEventLoop) -> _Loop:
    return _loops.setdefault(loop, _Loop())


def begin(loop: asyncio.AbstractEventLoop) -> None:
    """Ask what waits in this loop to end. Called in the loop's own thread."""
    state = _of(loop)
    state.is_stopping = True
    for call in tuple(state.waiting):
        call()


def is_stopping() -> bool:
    """Whether the running loop was asked to stop."""
    return _of(asyncio.get_running_loop()).is_stopping


@contextmanager
def told(call: Callable[[], None]) -> Iterator[None]:
    """Have `call` called when this loop is asked to stop, or now if it was, within the block."""
    state = _of(asyncio.get_running_loop())
    state.waiting.add(call)
    if state.is_stopping:
        call()
    try:
        yield
    finally:
        state.waiting.discard(call)
