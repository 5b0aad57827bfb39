"""Turn signals into a flag, so that no signal interrupts the start of a child before its record."""

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
    """Stores the first SIGINT, SIGTERM or SIGHUP. Code that waits checks it repeatedly."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def install(self) -> None:
        """Handle the signals in this process. Call it in the main thread."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._note)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # A plain attribute: a signal handler must not take a lock, as threading.Event does.
        if self.signum is None:
            self.signum = signum

    def check(self) -> None:
        """Raise StoppedError if a signal arrived."""
        if self.signum is not None:
            raise StoppedError(self.signum)


def wait_until(
    condition: Callable[[], bool], *, timeout_s: float, tick: Callable[[], None] | None = None
) -> bool:
    """Poll until the condition is true.

    Args:
        condition: Called every 50 ms, at least once.
        timeout_s: Seconds until the wait ends without it.
        tick: Called before each check. An exception of it ends the wait.

    Returns:
        Whether the condition was true in time.
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
