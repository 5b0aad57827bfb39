"""A stand-in for PgBouncer in front of the run's PostgreSQL.

It gives each client an invented process id and drops the session's settings. It renames prepared
statements like versions of PgBouncer that track them, or passes them on like versions that do not.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from project.stack.ports import HOST

CODES_WITHOUT_START: Final = {80877103, 80877104}
"""Codes of a client that requests TLS or GSSAPI before it starts."""

BACKEND_KEY: Final = b"K\0\0\0\x0c"
MADE_UP_PID: Final = struct.pack("!i", 77)


class Pooler:
    """One listener; each connection has two threads."""

    def __init__(
        self, server: str | tuple[str, int], *, renames: bool, ignores_options: bool = True
    ) -> None:
        self._server = server
        self._renames = renames
        self._ignores_options = ignores_options
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Accept clients until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept no more clients."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, client: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET
        with suppress(OSError), client, socket.socket(family) as server:
            started = self._start(client)
            if started is None:
                return
            server.connect(self._server)
            server.sendall(started)
            back = threading.Thread(target=_pump_back, args=(server, client), daemon=True)
            back.start()
            while True:
                head = _exactly(client, 5)  # a letter, and the length of the rest
                body = _exactly(client, struct.unpack("!i", head[1:])[0] - 4)
                if self._renames:  # the first place in a message is the statement's name
                    body = body.replace(b"aif_", b"PGB_", 1)
                server.sendall(head + body)

    def _start(self, client: socket.socket) -> bytes | None:
        """Return the message that starts a session. None if the client was refused."""
        while True:
            (length,) = struct.unpack("!i", _exactly(client, 4))
            body = _exactly(client, length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code not in CODES_WITHOUT_START:
                break
            client.sendall(b"N")
        pairs = body[4:].split(b"\0")
        given = dict(zip(pairs[::2], pairs[1::2], strict=False))
        if given.pop(b"options", None) is not None and not self._ignores_options:
            _refuse(client, b"unsupported startup parameter: options")
            return None
        parts = [part for name, value in given.items() if name for part in (name, value)]
        body = body[:4] + b"\0".join(parts) + b"\0\0"
        return struct.pack("!i", len(body) + 4) + body


def _pump_back(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while data := server.recv(65_536):
            at = data.find(BACKEND_KEY)
            if at >= 0:
                end = at + len(BACKEND_KEY)
                data = data[:end] + MADE_UP_PID + data[end + 4 :]
            client.sendall(data)
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _refuse(client: socket.socket, text: bytes) -> None:
    body = b"SFATAL\0C08P01\0M" + text + b"\0\0"
    client.sendall(b"E" + struct.pack("!i", len(body) + 4) + body)


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = client.recv(size - len(found))
        if not part:
            raise OSError("the client is gone")
        found += part
    return found


@contextmanager
def pooler(
    server: str | tuple[str, int], *, renames: bool, ignores_options: bool = True
) -> Iterator[int]:
    """Run a pooler for a PostgreSQL at a Unix socket, or a host and port. Yield its port."""
    found = Pooler(server, renames=renames, ignores_options=ignores_options)
    threading.Thread(target=found.serve, daemon=True).start()
    try:
        yield found.port
    finally:
        found.close()
