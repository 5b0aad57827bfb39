"""Sockets that are bound to a call, so that another thread or the deadline can end the call.

Closing a socket in another thread does not wake a blocked `recv`; shutting it down does. Each call
therefore references its current socket, from the first SYN on.

Only the name lookup cannot be aborted, because the C library's resolver cannot be interrupted. It
is bounded by its time limit.
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
    """A call's reference to its socket. `abort` may run in any thread, at any time and repeatedly.

    The reference is cleared before another call can use the connection.
    """

    def __init__(self, limit_s: float = math.inf, *, max_bytes: int = sys.maxsize) -> None:
        self.max_bytes = max_bytes
        """Most bytes to read of the response's decompressed body."""
        self.started = time.monotonic()
        self.deadline = self.started + limit_s
        self.sent = False
        """Whether a byte of the request may have been sent."""
        self.received = False
        """Whether a byte of the response was read."""
        self.is_http = True
        """Whether the response begins as HTTP."""
        self.closed = False
        """Whether the peer closed the connection during a read."""
        self.aborted = False
        self.deadline_reached = False
        """Whether the deadline, and not the idle timeout, ended a wait."""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def abort(self) -> None:
        """End the call's wait, now or at its next socket operation."""
        with self._lock:
            self.aborted = True
            if self._socket is not None:
                _shut_down(self._socket)

    def hold(self, sock: socket.socket) -> None:
        """Make this the socket that `abort` shuts down. Raise `OSError` if already aborted."""
        with self._lock:
            self._socket = sock
        self.check()

    def release(self, sock: socket.socket | None = None) -> None:
        """Drop the reference to this socket, or to any. No later abort affects the socket."""
        with self._lock:
            if sock is None or self._socket is sock:
                self._socket = None

    def check(self) -> None:
        if self.aborted:
            raise ConnectionAbortedError("the call was aborted")

    def wait_s(self, limit: float | None) -> float | None:
        """Return the timeout of the next socket operation: the limit, at most until the deadline.

        Raise `TimeoutError` if the deadline has passed.
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
        """Record after a timeout whether the deadline caused it."""
        if time.monotonic() >= self.deadline:
            self.deadline_reached = True


class CurrentCall(threading.local):
    """The current call of each thread. The network backend cannot get it as an argument."""

    def __init__(self) -> None:
        self.call = Call()


class CallStream(httpcore2.NetworkStream):
    """A connected socket, plain or TLS, that serves one call after another."""

    def __init__(self, sock: socket.socket, current: CurrentCall) -> None:
        self._socket = sock
        self._current = current
        self._call = current.call
        self._timeout: float | None = sock.gettimeout()
        self._answered = False
        """Whether the last operation was a read. The next write then begins a new request."""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if self._answered:
            self._answered = False
            if _is_readable(self._socket):
                raise httpcore2.ConnectionNotAvailable  # the pool uses another one
        # A request begins with a write: the connection now belongs to this thread's call.
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
        # Before closing: afterwards another socket may have the same descriptor number.
        self._call.release(self._socket)
        # Wake a thread that still reads, for example when the client is closed during its call.
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
            # The pool checks each idle connection twice per call, under its lock. A poll releases
            # the interpreter's lock, so with a hundred busy threads a call would wait a hundred
            # times. Instead `write` polls the one connection that is used.
            return self._socket.fileno() < 0
        if info == "socket":
            return self._socket
        return None

    def _limit(self, timeout: float | None) -> None:
        """Set the socket's timeout if it differs, which saves system calls."""
        if timeout != self._timeout:
            self._socket.settimeout(timeout)
            self._timeout = timeout


class CallBackend(httpcore2.NetworkBackend):
    """Network backend whose connection attempts can be aborted by the current call."""

    def __init__(self, current: CurrentCall) -> None:
        self._current = current

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - part of the interface
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
    """Connect to the first address that works. Raise the last address's error if none does."""
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
    # Non-blocking, because a shutdown only ends a connect that has begun. An abort before that is
    # noticed by `wait_s` below.
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
    # Not `sock.shutdown`: on TLS sockets it first drops the session, so the calling thread could
    # then write in plain text.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _is_readable(sock: socket.socket) -> bool:
    """Return whether an idle connection is readable. Without a request, that means it has ended."""
    return sock.fileno() < 0 or _poll(sock, select.POLLIN, 0)


def _poll(sock: socket.socket, event: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
