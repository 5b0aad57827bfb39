"""Replace the processes of gunicorn by SIGHUP, and detect when only new ones are left."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import psutil

from project.stack.errors import ReloadError

if TYPE_CHECKING:
    from project.stack.children import Child

REFUSED: Final = b"HUP refused"
"""Part of the line that `deploy/boot_check.py` logs."""


class Hup:
    """One replacement. The old processes serve until a new one does, and then end."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._old = self._processes()
        self._logged = child.log.stat().st_size
        child.process.send_signal(signal.SIGHUP)

    def is_done(self) -> bool:
        """Return whether all old processes have ended.

        Raises:
            ReloadError: gunicorn refused the new code.
        """
        with self._child.log.open("rb") as log:
            log.seek(self._logged)
            if REFUSED in log.read():
                raise ReloadError(f"the web processes refused the new code: read {self._child.log}")
        return not self._old & self._processes()

    def _processes(self) -> set[int]:
        try:
            return {p.pid for p in psutil.Process(self._child.process.pid).children()}
        except psutil.NoSuchProcess:  # the supervisor reports its death
            return set()
