"""Scores outputs, and makes plain answers, in another process, which is ended if one hangs.

docs/decisions/function-processes.md explains why a thread is not enough.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aifeature import features
from aifeature.spec import Feature
from aifeature.suites import Case
from evals.scoring.scorers import Part, ScorerError

LIMIT_S: Final = 5.0
"""Seconds in which all scorers of one output end, or a plain answer is made."""

START_S: Final = 60.0
"""Seconds in which the process loads all features. It takes one, on an idle machine."""

_LOCK = threading.Lock()


def score(feature: Feature, case: Case, output: dict[str, Any]) -> list[Part]:
    """Return what `scorers.score` returns. Raises ScorerError, also if a scorer hangs."""
    wanted = {"slug": feature.slug, "case": case.model_dump(mode="json"), "output": output}
    return [Part(**part) for part in _reply(wanted, "its scorers")["parts"]]


def plain(feature: Feature, given: dict[str, Any]) -> dict[str, Any]:
    """Return the plain answer to an input, as users get it. Raises ScorerError, also if it hangs.

    The feature has a function `plain`.
    """
    wanted = {"slug": feature.slug, "plain": json.dumps(given)}
    found: dict[str, Any] = json.loads(_reply(wanted, "its function plain")["plain"])
    return found


def _reply(wanted: dict[str, Any], what: str) -> dict[str, Any]:
    with _LOCK:
        reply = _PROCESS.reply(json.dumps({**wanted, "limit_s": LIMIT_S}).encode() + b"\n", what)
    if "problem" in reply:
        raise ScorerError(reply["problem"])
    return reply


class _Process:
    """The process of the scorers. It starts when it is needed, and again after it has ended."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def reply(self, request: bytes, what: str) -> dict[str, Any]:
        """Return the reply to a request for `what`. Raises ScorerError if there is none."""
        connection = self._connection or self._started()
        # Its own alarm ends it earlier, unless it is paused or a scorer removed the alarm.
        connection.settimeout(2 * LIMIT_S)
        line = _line(connection, request)
        if not line:
            code = self.end()
            if code in {-signal.SIGALRM, -signal.SIGKILL}:
                raise ScorerError(
                    f"{what} took longer than {LIMIT_S:g} s, or the process was killed"
                )
            raise ScorerError(f"{what} ended the process with code {code}")
        found: dict[str, Any] = json.loads(line)
        return found

    def _started(self) -> socket.socket:
        connection, theirs = socket.socketpair()
        with theirs:
            python = (sys.executable, "-P", "-W", "ignore", "-m", f"{__package__}.process")
            self._child = subprocess.Popen(
                [*python, str(theirs.fileno()), *features.__path__],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(_absolute, sys.path))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # so that what it starts ends with it
            )
        self._connection = connection
        connection.settimeout(START_S)
        if not _line(connection, b""):
            self.end()
            raise ScorerError("the process of the scorers does not start")
        return connection

    def end(self) -> int | None:
        """End the process. Return its exit code, negative for a signal; None if none runs."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._child is None:
            return None
        child, self._child = self._child, None
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # no effect on one that has ended by itself
        return child.wait()


def _line(connection: socket.socket, request: bytes) -> bytes:
    """Send a request and return the line of the reply; empty if the process ends or hangs."""
    try:
        connection.sendall(request)
        with connection.makefile("rb") as replies:
            line = replies.readline()
    except OSError:
        return b""
    return line if line.endswith(b"\n") else b""


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


_PROCESS = _Process()
atexit.register(_PROCESS.end)
