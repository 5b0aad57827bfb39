"""HTTP/1.1 transport whose calls any thread can abort, plain or TLS, on new or reused connections.

The pool deliberately has no size limit: a call that waits for a slot could not be aborted. Each
thread uses one connection at a time, so the number of worker threads is the limit.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpcore2
import httpx2

from workers.inference import body, tcp
from workers.inference.sockets import Call, CallBackend, CurrentCall

if TYPE_CHECKING:
    import ssl
    from typing import Protocol

    class _Chunks(Protocol):
        def __iter__(self) -> Iterator[bytes]: ...
        def close(self) -> None: ...


KEEPALIVE_S = 30.0
"""Seconds an idle connection is kept. Load balancers close theirs after 60 s or more. If a request
meets a closing connection, it is unclear whether the provider worked on it."""

PEER_TIMEOUT_S = 20
"""Seconds without acknowledged packets until a call fails. The provider is far away: a short
network interruption must not lose a billed answer."""

SUCCESS = range(200, 300)

_SAME_NAME = (
    "TimeoutException", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout",
    "NetworkError", "ConnectError", "ReadError", "WriteError", "ProxyError",
    "UnsupportedProtocol", "ProtocolError", "LocalProtocolError", "RemoteProtocolError",
)  # fmt: skip
FAILURES: dict[type[Exception], type[httpx2.TransportError]] = {
    getattr(httpcore2, name): getattr(httpx2, name) for name in _SAME_NAME
}
"""Public exceptions, by those of the connection layer."""


class AbortableTransport(httpx2.BaseTransport):
    """Transport. Any thread can end requests made inside `with transport.call(...)`."""

    def __init__(
        self,
        *,
        idle_connections: int = 100,
        keepalive_s: float = KEEPALIVE_S,
        peer_timeout_s: int = PEER_TIMEOUT_S,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._current = CurrentCall()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            max_keepalive_connections=idle_connections,
            keepalive_expiry=keepalive_s,
            http1=True,
            http2=False,
            network_backend=CallBackend(self._current),
            socket_options=[
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                *(
                    (socket.IPPROTO_TCP, name, value)
                    for name, value in tcp.watchful(notice_s=peer_timeout_s).items()
                ),
            ],
        )

    @contextmanager
    def call(self, limit_s: float, *, max_bytes: int = sys.maxsize) -> Iterator[Call]:
        """Yield this thread's call, limited to `limit_s` seconds and `max_bytes` of the body."""
        call = Call(limit_s, max_bytes=max_bytes)
        outer, self._current.call = self._current.call, call
        try:
            yield call
        finally:
            self._current.call = outer
            call.release()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call = self._current.call
        try:
            response = self._pool.handle_request(_inner_request(request))
        except tuple(FAILURES) as error:
            raise _translated(error) from error
        headers = httpx2.Headers(response.headers)
        encoding = headers.pop("content-encoding", "")
        chunks: _Chunks = response.stream  # type: ignore[assignment]  # the pool's are synchronous
        return httpx2.Response(
            status_code=response.status,
            headers=headers,
            stream=_Body(
                chunks,
                response.extensions["network_stream"],
                call,
                encoding,
                failed=response.status not in SUCCESS,
            ),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    """A decompressed, size-limited body. Releases the call's socket before it becomes idle."""

    def __init__(
        self,
        chunks: _Chunks,
        network: httpcore2.NetworkStream,
        call: Call,
        encoding: str,
        *,
        failed: bool,
    ) -> None:
        self._chunks = chunks
        self._network = network
        self._call = call
        self._encoding = encoding
        self._failed = failed

    def __iter__(self) -> Iterator[bytes]:
        plain = body.decompressed(self._chunks, self._encoding)
        limit = body.ERROR_BYTES if self._failed else self._call.max_bytes
        try:
            yield from body.within(plain, limit)
        except tuple(FAILURES) as error:
            if not self._failed:
                raise _translated(error) from error
        except ValueError:
            if not self._failed:
                raise
        # An error response needs only its status, so a broken body is ignored.

    def close(self) -> None:
        self._call.release()
        if _leftover(self._chunks):
            # Otherwise the next call on this connection would read it as its answer.
            self._network.close()
        self._chunks.close()


def _leftover(chunks: object) -> bool:
    """Return whether bytes follow the response, or may follow it unseen.

    httpcore2 does not check this and has no public name for its parser's unused bytes.
    """
    stream = getattr(chunks, "_stream", None)
    parser = getattr(getattr(stream, "_connection", None), "_h11_state", None)
    unused = getattr(parser, "trailing_data", (b"?", False))
    return unused[0] != b""


def _inner_request(request: httpx2.Request) -> httpcore2.Request:
    body = request.stream
    if not isinstance(body, Iterable):
        raise httpx2.LocalProtocolError("the request has no synchronous body", request=request)
    url = request.url
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        ),
        headers=request.headers.raw,
        content=body,
        extensions=request.extensions,
    )


def _translated(error: Exception) -> httpx2.TransportError:
    for kind in type(error).__mro__:
        if kind in FAILURES:
            return FAILURES[kind](str(error))
    raise error
