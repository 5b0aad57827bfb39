"""Limits on the size of a request's body, and on the time until it is complete."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aifeature.api.refusals import BadRequest, RequestTimeout
from aifeature.api.visitors import Visitor
from aifeature.services.jobs.refusals import InputTooLarge, RateLimited, Refusal
from project.lifespan import Receive

BODY_S: Final = 60.0
"""Seconds until a request's body must be complete."""

MOST_UNREAD: Final = 8
"""Limit on one visitor's incomplete bodies together, as a multiple of the largest body."""

RETRY_S: Final = 2

_GONE: Final = {"type": "http.disconnect"}


class Body:
    """A request's body while it arrives. It is refused if it is too large or too slow."""

    def __init__(self, receive: Receive, most_bytes: int, until: float) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._until = until
        self._bytes = 0
        self._unread: Counter[Visitor] = Counter()
        self._visitor: Visitor | None = None
        self.is_unread = True
        self.is_expected = False
        """Whether the headers announce a body."""
        self.refusal: Refusal | None = None
        """The reason why the body was not read completely."""

    @contextmanager
    def counted(self, unread: Counter[Visitor], visitor: Visitor) -> Iterator[None]:
        """Count the bytes for the visitor until the body is complete or the block ends."""
        self._unread, self._visitor = unread, visitor
        try:
            yield
        finally:
            self._is_read()

    def _is_read(self) -> None:
        if self._visitor is not None:
            self._unread[self._visitor] -= self._bytes
            if self._unread[self._visitor] <= 0:
                del self._unread[self._visitor]
            self._visitor = None

    def check(self, scope: Any) -> None:
        """Check the headers about the body.

        Raises:
            BadRequest: they contradict each other, so a proxy may find another end of the body.
            InputTooLarge: they announce more bytes than the limit.
        """
        headers = dict(scope["headers"])
        length = headers.get(b"content-length")
        self.is_expected = b"transfer-encoding" in headers or length not in {None, b"0"}
        if length is not None and b"transfer-encoding" in headers:
            raise BadRequest("Send either Content-Length or Transfer-Encoding, not both.")
        if length is not None and length.isdigit() and int(length) > self._most_bytes:
            raise self._too_large()

    async def receive(self) -> Any:
        """Return the next ASGI message. If the body is refused, return a disconnect."""
        if not self.is_unread:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self.refusal = RequestTimeout("The request did not arrive in time. Send it again.")
            return _GONE
        size = len(message.get("body", b""))
        self._bytes += size
        if self._visitor is not None:
            self._unread[self._visitor] += size
            if self._unread[self._visitor] > MOST_UNREAD * self._most_bytes:
                self.refusal = RateLimited(
                    "You send too much at once. Wait a moment and try again.",
                    retry_after_s=RETRY_S,
                )
                return _GONE
        if self._bytes > self._most_bytes:
            self.refusal = self._too_large()
            return _GONE
        self.is_unread = message["type"] == "http.request" and message.get("more_body", False)
        if not self.is_unread:
            self._is_read()
        return message

    def _too_large(self) -> InputTooLarge:
        return InputTooLarge(f"The request has more than {self._most_bytes:,} bytes.")
