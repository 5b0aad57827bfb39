"""A proxy in front of a Redis that can answer each command with an error.

with RefusingRedis(("127.0.0.1", 6379)) as redis:
    redis.refuse("LOADING Redis is loading the dataset in memory")
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

HOST = "127.0.0.1"


class RefusingRedis:
    """One listening port; each connection has a connection to the server, and two threads."""

    def __init__(self, target: tuple[str, int] | None) -> None:
        """Listen. Without a target, the proxy refuses each command."""
        self._target = target
        self._error: bytes | None = None
        self._listener = socket.create_server((HOST, 0))
        self._open: list[socket.socket] = [self._listener]
        self.port: int = self._listener.getsockname()[1]
        self.refused: list[bytes] = []
        """The names of the refused commands."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def refuse(self, error: str) -> None:
        """From now on, answer each command with this RESP error."""
        self._error = error.encode()

    def allow(self) -> None:
        """Pass commands on again."""
        self._error = None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target) if self._target else None
            except OSError:
                return
            self._open += [client, *([server] if server else [])]
            threading.Thread(target=self._commands, args=(client, server), daemon=True).start()
            if server:
                threading.Thread(target=_relay, args=(server, client), daemon=True).start()

    def _commands(self, client: socket.socket, server: socket.socket | None) -> None:
        file = client.makefile("rb")
        with suppress(OSError, ValueError):
            while raw := _command(file):
                if self._error is None and server is not None:
                    server.sendall(raw)
                else:
                    self.refused.append(raw.split(b"\r\n")[2].upper())
                    client.sendall(b"-" + (self._error or b"ERR") + b"\r\n")
        for each in (client, server):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def _command(file: object) -> bytes:
    """Return the bytes of one command, which is an array of bulk strings."""
    read = getattr(file, "read")  # noqa: B009 (of a buffered reader)
    line = getattr(file, "readline")  # noqa: B009
    head: bytes = line()
    raw = head
    for _ in range(int(head[1:]) if head else 0):
        size: bytes = line()
        raw += size + read(int(size[1:]) + 2)
    return raw
