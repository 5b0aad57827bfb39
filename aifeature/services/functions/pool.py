"""Calls of features' functions in child processes, which are ended when they hang.

A thread cannot be ended. One that holds the interpreter's lock, as a regular expression does, stops
all threads of its process. docs/decisions/function-processes.md compares the alternatives.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aifeature import registry
from aifeature.services.functions import function
from aifeature.services.functions.errors import FunctionFailedError, FunctionsAwayError
from aifeature.services.functions.host import Child, Host
from aifeature.services.functions.turns import Turns
from aifeature.spec import Feature

LIMIT_S: Final = 5.0
"""Seconds that a function may take."""

MOST: Final = 4
"""Most children of one worker process. One feature uses at most half of them."""


class FunctionPool:
    """Runs functions in children of a process that has loaded the features. Thread-safe."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        """`limit_s` is the time of a function, without its wait for a child."""
        self._limit_s = limit_s
        self._turns = Turns(MOST)
        self._lock = threading.Lock()
        self._host: Host | None = None
        self._when_away: Callable[[], None] | None = None
        self._is_away = False  # or it could not be started, and no later call waits for it
        self._idle: list[Child] = []

    def start(self, when_away: Callable[[], None] | None = None) -> None:
        """Load the features as they are now, if one of them has a function.

        `when_away` is called once if the process is lost later and cannot be replaced: this worker
        should end. Raises FunctionsAwayError.
        """
        self._when_away = when_away
        if any(map(_has_functions, registry.all_features().values())):
            with self._lock:
                self._living_host()

    def call(self, feature: Feature, name: function.Name, given: Any, answer: str = "") -> Any:
        """Return the result of the feature's function, as `function.result_of` describes it.

        Args:
            feature: One of the registry.
            name: The function.
            given: The input, as JSON values.
            answer: The output, as JSON. Not used by `plain`.

        Raises:
            FunctionFailedError: the function raised, hangs, or ended its process.
            FunctionsAwayError: no process can run it.
        """
        call = {"slug": feature.slug, "name": name, "given": json.dumps(given), "answer": answer}
        request = json.dumps({**call, "end_s": 2 * self._limit_s}).encode() + b"\n"
        with self._turns.turn(feature.slug):
            reply = self._reply(self._free(), request)
            if reply is None:  # the child was killed, perhaps before the function began
                reply = self._reply(self._new(), request)
        if reply is None:
            raise FunctionFailedError("was killed twice")
        if "is_missing" in reply:
            raise FunctionsAwayError(f"their process has loaded files without {feature.slug}")
        if "raised" in reply:
            raise FunctionFailedError(f"raised {reply['raised']}", reply["place"])
        return reply["result"]

    def close(self) -> None:
        """End all processes. Call after the last job."""
        with self._lock:
            while self._idle:
                self._idle.pop().connection.close()
            if self._host is not None:
                self._host.close()
                self._host = None

    def _reply(self, child: Child, request: bytes) -> dict[str, Any] | None:
        """Return the child's reply, or None if it was killed. Raises FunctionFailedError."""
        try:
            reply = child.reply(request, self._limit_s)
        except TimeoutError:
            self._end(child)
            raise self._hangs() from None
        if reply is None:
            self._judge(self._end(child))
            return None
        if reply["reusable"]:
            self._idle.append(child)
        else:
            self._end(child)
        return reply

    def _judge(self, code: int | None) -> None:
        """Raise FunctionFailedError unless the child may have been killed from outside."""
        if code == -signal.SIGALRM:  # this process was paused, and the child ended itself
            raise self._hangs()
        if code is not None and code != -signal.SIGKILL:
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            raise FunctionFailedError(f"ended its process with {how}")

    def _hangs(self) -> FunctionFailedError:
        return FunctionFailedError(f"takes longer than {self._limit_s:g} s")

    def _free(self) -> Child:
        with suppress(IndexError):
            return self._idle.pop()
        return self._new()

    def _new(self) -> Child:
        with self._lock:
            return self._living_host().fork()

    def _end(self, child: Child) -> int | None:
        """End a child. Return its exit code, negative for a signal; None if it is not known."""
        child.connection.close()
        with self._lock, suppress(FunctionsAwayError):
            return child.host.end(child.pid)
        return None

    def _living_host(self) -> Host:
        """Return the process of the functions, a new one if it was killed.

        Raises FunctionsAwayError, immediately if an earlier start failed.
        """
        if self._is_away:
            raise FunctionsAwayError("their process could not be started")
        if self._host is not None and not self._host.lives:
            self._host.close()
            self._host = None
        if self._host is None:
            try:
                self._host = Host()
            except FunctionsAwayError:
                self._is_away = True
                if self._when_away is not None:
                    self._when_away()
                raise
        return self._host


def _has_functions(feature: Feature) -> bool:
    return bool(feature.check or feature.approval or (feature.plain and feature.offers_plain))
