"""Drops the incoming packets of a TCP socket in the kernel, like a dead network.

The socket acknowledges nothing and sends no reset, so its peer has a half-open connection. Only the
peer's keepalive and TCP_USER_TIMEOUT can notice that. Linux only; each user may do it to sockets of
their own processes.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from typing import Final, Protocol

AVAILABLE: Final = sys.platform == "linux"

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_KEEP_NOTHING: Final = struct.pack("HBBI", 0x06, 0, 0, 0)
"""One classic BPF instruction, `ret #0`: keep no byte of the packet."""


class Socket(Protocol):
    """The method that sockets and asyncio's transport sockets share."""

    def setsockopt(self, level: int, name: int, value: bytes | int, /) -> None: ...


def drop(sock: Socket) -> None:
    """Drop incoming packets from now on. A listening socket accepts no connection.

    Keepalive is off meanwhile, since the peer would receive our probes. Raises NotImplementedError
    if this is not Linux.
    """
    if not AVAILABLE:
        raise NotImplementedError("packets can be dropped on Linux only")
    program = ctypes.create_string_buffer(_KEEP_NOTHING, len(_KEEP_NOTHING))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
    head = struct.pack("HP", 1, ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)


def take(sock: Socket) -> None:
    """Accept packets again."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except FileNotFoundError:  # ENOENT: there was none
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
