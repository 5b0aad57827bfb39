"""The ASGI side of one call: its body, its response, and the two early ends of a connection."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from workers.sandbox.rejection import Rejection
from workers.sandbox.validate import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

ABORT_KEY = "sandbox_abort"
"""Key in the scope's `state` of the function that drops the connection."""


class ClientGone(Exception):  # noqa: N818 - an event, not a defect
    """The client closed the connection."""


class Wire:
    """One HTTP exchange."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        self.status: int | None = None
        """The status; None before it is sent."""

    async def body(self) -> bytes:
        """Return the body; 413 above the provider's limit, `ClientGone` if it does not end."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            # The rest of a body that is too large is read, so that the client reads the answer.
            if size > MAX_BODY_BYTES:
                chunks.clear()
            if not message.get("more_body", False):
                break
        if size > MAX_BODY_BYTES:
            raise Rejection(413, "Request exceeds the maximum size")
        return b"".join(chunks)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers."""
        self.status = status
        raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Send a part of the response's body; `more=False` ends it."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def json(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Send a whole JSON response."""
        await self.raw_json(status, json.dumps(body, ensure_ascii=False).encode(), headers)

    async def raw_json(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        """Send bytes as a whole JSON response, valid or not."""
        head = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        await self.start(status, head)
        await self.write(data, more=False)

    async def gone(self) -> None:
        """Return when the client has closed the connection, or the response is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def cut(self) -> None:
        """Drop the TCP connection without another byte."""
        abort: Callable[[], None] | None = self._scope.get("state", {}).get(ABORT_KEY)
        if abort is None:
            raise ConnectionResetError("the connection is cut by the fault plan")
        # An abort discards buffered bytes, so they must be sent first.
        await asyncio.sleep(0)
        abort()
        # The server receives the abort in the next round of the loop; until then it expects bytes.
        await asyncio.sleep(0)
