"""The worker's side of the process of the functions and of its children."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aifeature import features
from aifeature.services.functions.errors import FunctionsAwayError

NUMBER: Final = struct.Struct("!i")
"""A pid, a wait status, or the negative number of an error of the machine."""

ANSWER_S: Final = 60.0
"""Most seconds until the process answers. It loads all features in one, on an idle machine."""

END_S: Final = 5.0
"""Most seconds until the process has ended after its socket is closed."""


class Host:
    """The process of the functions. Not thread-safe."""

    def __init__(self) -> None:
        """Start it. Raises FunctionsAwayError if it does not load the features."""
        with _room():
            self._control, theirs = socket.socketpair()
        self._control.settimeout(ANSWER_S)
        with theirs:
            # No warnings: their text may quote a user's.
            python = (sys.executable, "-P", "-W", "ignore", "-m", f"{__package__}.process")
            with _room(self._control):
                self._process = subprocess.Popen(
                    [*python, str(theirs.fileno()), *features.__path__],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(map(_absolute, sys.path))},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # signals to the worker's group do not end it
                )
        self._received()

    @property
    def lives(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def fork(self) -> Child:
        """Return a new child. Raises FunctionsAwayError."""
        with _room():
            ours, theirs = socket.socketpair()
        with theirs, _room(ours):
            return Child(self, self._asked(0, theirs.fileno()), ours)

    def end(self, pid: int) -> int:
        """End a child. Return its exit code, negative for a signal. Raises FunctionsAwayError."""
        return os.waitstatus_to_exitcode(self._asked(pid))

    def close(self) -> int:
        """End the process and all children. Return its exit code."""
        self._control.close()
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _asked(self, number: int, *sockets: int) -> int:
        try:
            socket.send_fds(self._control, [NUMBER.pack(number)], sockets)
        except OSError:
            raise self._is_away() from None
        if (answer := self._received()) < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer

    def _received(self) -> int:
        try:
            message = self._control.recv(NUMBER.size)
        except OSError:
            message = b""
        if not message:
            raise self._is_away()
        (number,) = NUMBER.unpack(message)
        return int(number)

    def _is_away(self) -> FunctionsAwayError:
        return FunctionsAwayError(f"the process of the functions ended with code {self.close()}")


@dataclass(frozen=True, slots=True)
class Child:
    """A child of the process of the functions. It runs one function at a time."""

    host: Host
    pid: int
    connection: socket.socket

    def reply(self, request: bytes, limit_s: float) -> dict[str, Any] | None:
        """Return the reply to a call, or None if the child has ended. Raises TimeoutError."""
        self.connection.settimeout(limit_s)
        try:
            self.connection.sendall(request)
            with self.connection.makefile("rb") as replies:
                line = replies.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line.endswith(b"\n") else None


@contextmanager
def _room(*opened: socket.socket) -> Iterator[None]:
    """Close these sockets after an error. One of the machine becomes FunctionsAwayError."""
    try:
        yield
    except (OSError, FunctionsAwayError) as error:
        for each in opened:
            each.close()
        raise FunctionsAwayError(f"no process for a function: {error}") from None


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
