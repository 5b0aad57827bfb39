"""A thread that repeats a function."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import Error as DatabaseError

from aifeature.models.functions import brief

logger = logging.getLogger(__name__)


class Loop:
    """Calls `turn` repeatedly in its own daemon thread. Thread-safe.

    The next turn begins when `wake` is called, or after the seconds that the last turn returned
    (None: only when `wake` is called). Exceptions are logged and do not end the loop.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], float | None],
        *,
        retry_s: float = 1.0,
        least_s: float = 0.0,
        has_last_turn: bool = False,
    ) -> None:
        """The thread starts at the first `wake`.

        The next turn begins `retry_s` seconds after an exception, and at least `least_s` seconds
        after any turn. With `has_last_turn`, `stop` makes one more turn.
        """
        self._name = name
        self._turn = turn
        self._retry_s = retry_s
        self._least_s = least_s
        self._has_last_turn = has_last_turn
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def wake(self) -> None:
        """Make a turn soon, unless the loop was stopped.

        Starts the thread if none runs, for example after a fork.
        """
        if self._stopped.is_set():
            return
        self._woken.set()
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()

    def stop(self, *, within_s: float) -> None:
        """End after the current turn, and wait up to `within_s` seconds for that."""
        self._stopped.set()
        self._woken.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(within_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._woken.clear()  # before the turn, so that a wake during it makes another one
            wait_s = self._turn_or_log()
            self._stopped.wait(self._least_s)
            if not self._stopped.is_set():  # `clear` may have removed the wake of `stop`
                self._woken.wait(wait_s)
        if self._has_last_turn:
            self._turn_or_log()

    def _turn_or_log(self) -> float | None:
        try:
            return self._turn()
        except DatabaseError as error:
            logger.warning(
                "%s: the database does not answer, trying again: %s", self._name, brief(error)
            )
        except Exception:  # a defect must not end the thread
            logger.exception("%s: a turn failed, trying again", self._name)
        return self._retry_s
