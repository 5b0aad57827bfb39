"""Turns signals into a flag, so that nothing is ever interrupted between fork and bookkeeping."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from project.stack.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

POLL_S = 0.05


class StopRequest:
    """Remembers the first SIGINT, SIGTERM or SIGHUP. Waiting code asks it at every turn."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def install(self) -> None:
        """Handle the signals in this process from now on (main thread only)."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._note)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # A plain attribute: locks, as in threading.Event, may not be taken in a signal handler.
        if self.signum is None:
            self.signum = signum

    def check(self) -> None:
        """Raise StoppedError if a signal has asked for the end."""
        if self.signum is not None:
            raise StoppedError(self.signum)


def wait_until(
    condition: Callable[[], bool], *, timeout_s: float, tick: Callable[[], None] | None = None
) -> bool:
    """Poll until the condition holds.

    Args:
        condition: Asked every 50 ms, at least once.
        timeout_s: Seconds until giving up.
        tick: Called before each look; what it raises ends the wait.

    Returns:
        Whether the condition held in time.
    """
    end = time.monotonic() + timeout_s
    while True:
        if tick is not None:
            tick()
        if condition():
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
