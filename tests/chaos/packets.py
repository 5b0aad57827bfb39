"""Drops a TCP socket's incoming packets in the kernel, as a dead network does.

What arrives at such a socket is neither acknowledged nor answered, not even with a reset, so its
peer has a half-open connection: only its own keepalive and TCP_USER_TIMEOUT can notice. Linux
only; any user may do it to sockets of its own process.
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
"""One classic BPF instruction: `ret #0`, so zero bytes of the packet are kept."""


class Socket(Protocol):
    """What a socket and asyncio's view of one have in common."""

    def setsockopt(self, level: int, name: int, value: bytes | int, /) -> None: ...


def drop(sock: Socket) -> None:
    """Drop what comes from now on. A listening socket answers no new connection.

    Keepalive is off meanwhile: a probe of ours would look like a sign of life to the peer.

    Raises:
        NotImplementedError: this is not Linux.
    """
    if not AVAILABLE:
        raise NotImplementedError("packets can be dropped on Linux only")
    program = ctypes.create_string_buffer(_KEEP_NOTHING, len(_KEEP_NOTHING))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
    head = struct.pack("HP", 1, ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)


def take(sock: Socket) -> None:
    """Take packets again; without a filter this does nothing."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except FileNotFoundError:  # ENOENT: there was none
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
