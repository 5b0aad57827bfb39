"""An HTTP/1.1 transport whose calls can be aborted from outside, plain or TLS, new or reused.

The pool has no upper limit of its own, on purpose: a thread uses one connection at a time, so the
worker's thread count is the limit, and no call ever waits for a slot where no abort could reach it.
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
"""Seconds an idle connection is kept. Load balancers close theirs after 60 s and more; a request
sent into a closing connection is a failure nobody can tell from one that was worked on."""

PEER_TIMEOUT_S = 20
"""Seconds until a call fails whose packets nobody acknowledges. The provider is far away: a path
that is gone for a moment must not cost an answer that is paid for."""

SUCCESS = range(200, 300)

_SAME_NAME = (
    "TimeoutException", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout",
    "NetworkError", "ConnectError", "ReadError", "WriteError", "ProxyError",
    "UnsupportedProtocol", "ProtocolError", "LocalProtocolError", "RemoteProtocolError",
)  # fmt: skip
FAILURES: dict[type[Exception], type[httpx2.TransportError]] = {
    getattr(httpcore2, name): getattr(httpx2, name) for name in _SAME_NAME
}
"""The public exception that stands for each of the connection layer."""


class AbortableTransport(httpx2.BaseTransport):
    """Send requests; each inside `with transport.call(...)` can be ended from any thread."""

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
        """The call this thread makes inside the block, to be ended after `limit_s` seconds.

        Of the response's body at most `max_bytes` are read.
        """
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
    """A response body, decompressed and within the call's limit.

    It gives back the call's hold before its connection becomes idle.
    """

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
        # The status of an error says all that is needed, whatever becomes of its body.

    def close(self) -> None:
        self._call.release()
        if _leftover(self._chunks):
            # The pool would read it as the answer of the next call on this connection.
            self._network.close()
        self._chunks.close()


def _leftover(chunks: object) -> bool:
    """Whether more came than the response; also where that cannot be seen.

    httpcore2 does not look, and has no public name for what its parser has not used.
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
