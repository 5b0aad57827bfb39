"""Sockets that know which call uses them, so that another thread, or the clock, can end the call.

A blocked `recv` is not woken by closing the socket from another thread, only by shutting it down.
Each call therefore keeps hold of the one socket it uses at the moment, from the first SYN on.

Bounded by a time limit rather than by the abort: the name lookup alone (the C library's
resolver cannot be interrupted).
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpcore2

if TYPE_CHECKING:
    from collections.abc import Iterable


class Call:
    """One call's hold on its socket. `abort` may run in any thread, at any time and repeatedly.

    The hold is given back before the connection can serve another call; an abort that comes later
    finds nothing to break.
    """

    def __init__(self, limit_s: float = math.inf, *, max_bytes: int = sys.maxsize) -> None:
        self.max_bytes = max_bytes
        """Most bytes that are read of the response's body, decompressed."""
        self.started = time.monotonic()
        self.deadline = self.started + limit_s
        self.sent = False
        """Whether a byte of the request may have left this machine."""
        self.received = False
        """Whether a byte of the response was read."""
        self.is_http = True
        """Whether the response's first bytes are those of HTTP."""
        self.closed = False
        """Whether the other side ended the connection while something was awaited."""
        self.aborted = False
        self.deadline_reached = False
        """Whether it was the deadline, and not a quiet provider, that ended a wait."""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def abort(self) -> None:
        """Break what the call waits for, now or as soon as it touches its socket."""
        with self._lock:
            self.aborted = True
            if self._socket is not None:
                _shut_down(self._socket)

    def hold(self, sock: socket.socket) -> None:
        """Make this the socket that `abort` breaks.

        Raises:
            OSError: The call was aborted before.
        """
        with self._lock:
            self._socket = sock
        self.check()

    def release(self, sock: socket.socket | None = None) -> None:
        """Let go of this socket, or of whichever is held. No abort touches it afterwards."""
        with self._lock:
            if sock is None or self._socket is sock:
                self._socket = None

    def check(self) -> None:
        """Raise OSError if the call was aborted."""
        if self.aborted:
            raise ConnectionAbortedError("the call was aborted")

    def wait_s(self, limit: float | None) -> float | None:
        """Seconds the next socket operation may take: the limit, but never past the deadline.

        Raises:
            TimeoutError: The deadline has passed.
        """
        self.check()
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.deadline_reached = True
            raise TimeoutError("the call's deadline has passed")
        if limit is None:
            return None if left == math.inf else left
        return min(limit, left)

    def note_timeout(self) -> None:
        """After a wait timed out: was it the deadline's?"""
        if time.monotonic() >= self.deadline:
            self.deadline_reached = True


class CurrentCall(threading.local):
    """The call each thread is making. The network backend has no other way to learn it."""

    def __init__(self) -> None:
        self.call = Call()


class CallStream(httpcore2.NetworkStream):
    """A connected socket, plain or TLS, that belongs to one call after the other."""

    def __init__(self, sock: socket.socket, current: CurrentCall) -> None:
        self._socket = sock
        self._current = current
        self._call = current.call
        self._timeout: float | None = sock.gettimeout()
        self._answered = False
        """Whether the last thing that happened was that it read: what is written next is a new
        request."""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if self._answered:
            self._answered = False
            if _is_readable(self._socket):
                raise httpcore2.ConnectionNotAvailable  # the pool takes another one
        # A request begins with a write: from here on the connection is this thread's call's.
        call = self._call = self._current.call
        try:
            call.hold(self._socket)
            call.sent = True
            view = memoryview(buffer)
            while view:
                self._limit(call.wait_s(timeout))
                view = view[self._socket.send(view) :]
        except TimeoutError as error:
            call.note_timeout()
            raise httpcore2.WriteTimeout(error) from error
        except OSError as error:
            raise httpcore2.WriteError(error) from error

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        call = self._call
        try:
            self._limit(call.wait_s(timeout))
            data = self._socket.recv(max_bytes)
        except TimeoutError as error:
            call.note_timeout()
            raise httpcore2.ReadTimeout(error) from error
        except OSError as error:
            raise httpcore2.ReadError(error) from error
        self._answered = True
        if data:
            call.is_http = call.is_http and (call.received or data[:4] == b"HTTP"[: len(data)])
            call.received = True
        else:
            call.closed = True
        return data

    def close(self) -> None:
        # Under the call's lock first: once closed, the descriptor's number may be another socket's.
        self._call.release(self._socket)
        # Wakes whoever still reads from it, as when the client is closed under its calls.
        _shut_down(self._socket)
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> CallStream:
        call = self._call
        try:
            call.release(self._socket)
            secure = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._socket = secure
            call.hold(secure)
            secure.settimeout(call.wait_s(timeout))
            secure.do_handshake()
        except TimeoutError as error:
            call.note_timeout()
            self.close()
            raise httpcore2.ConnectTimeout(error) from error
        except OSError as error:
            self.close()
            raise httpcore2.ConnectError(error) from error
        return CallStream(secure, self._current)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        if info == "is_readable":
            # The pool asks this of every idle connection, twice in each call and under its lock. A
            # look lets go of the interpreter's lock, so with a hundred threads at work one call
            # would wait for its turn a hundred times. `write` looks, at the one that is used.
            return self._socket.fileno() < 0
        if info == "socket":
            return self._socket
        return None

    def _limit(self, timeout: float | None) -> None:
        """Set the socket's timeout; only when it differs, for it costs a system call."""
        if timeout != self._timeout:
            self._socket.settimeout(timeout)
            self._timeout = timeout


class CallBackend(httpcore2.NetworkBackend):
    """Opens connections that the calling thread's call can abort while they are being made."""

    def __init__(self, current: CurrentCall) -> None:
        self._current = current

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - the interface has it
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> CallStream:
        call = self._current.call
        try:
            sock = _connect(call, host, port, timeout)
        except TimeoutError as error:
            call.note_timeout()
            raise httpcore2.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore2.ConnectError(error) from error
        for option in socket_options or ():
            sock.setsockopt(*option)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return CallStream(sock, self._current)


def _connect(call: Call, host: str, port: int, timeout: float | None) -> socket.socket:
    """Try the host's addresses in turn; the last one's error is raised."""
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        try:
            call.hold(sock)
            _finish_connect(call, sock, address, timeout)
        except OSError as error:
            call.release(sock)
            sock.close()
            call.check()
            failure = error
        else:
            return sock
    raise failure


def _finish_connect(call: Call, sock: socket.socket, address: Any, timeout: float | None) -> None:
    # Begun without waiting: a shutdown ends a connect that has begun, and does nothing before. So
    # an abort either comes after the beginning, or is seen by the look at the clock behind it.
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(address)
    if not _poll(sock, select.POLLOUT, call.wait_s(timeout)):
        raise TimeoutError("no connection in time")
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    call.check()


def _shut_down(sock: socket.socket) -> None:
    # Not `sock.shutdown`: for TLS that first makes the object forget its session, and a write
    # of the calling thread could then leave in the clear.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _is_readable(sock: socket.socket) -> bool:
    """Whether an idle connection has something to read, which is its end: nobody asked anything."""
    return sock.fileno() < 0 or _poll(sock, select.POLLIN, 0)


def _poll(sock: socket.socket, event: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
