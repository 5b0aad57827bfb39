# ruff: noqa: INP001 (a folder of settings, not a package)
"""Uvicorn's HTTP/1.1 with a time limit for the head of a request.

Uvicorn closes an idle kept connection, but not a new connection without a request, nor one that
sends a head byte by byte.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 20.0
"""Seconds for the head of a request, from its first byte. For the first request, from the start of
the connection. project/request_body.py limits the time for bodies."""

LAST_LOOK_S: Final = 0.5
"""Seconds in which a process that stood still reads what arrived meanwhile."""


class PunctualProtocol(H11Protocol):
    """One connection."""

    head_s = HEAD_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first head."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Stop the time limit if the head is complete."""
        super().data_received(data)
        self._check_head()

    def on_response_complete(self) -> None:
        """Check whether the next head has begun to arrive."""
        super().on_response_complete()
        self._check_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit."""
        self._stop()
        super().connection_lost(exc)

    def _check_head(self) -> None:
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not begun:
            self._stop()
        elif self._deadline is None:
            self._start()

    def _start(self) -> None:
        self._deadline = self.loop.call_later(self.head_s, self.deadline_is_over)

    def deadline_is_over(self) -> None:
        """Give up, unless the head is complete half a second later."""
        # After a standstill the timers run before the loop reads what arrived meanwhile.
        self._deadline = self.loop.call_later(LAST_LOOK_S, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.send_408_response()

    def send_408_response(self) -> None:
        """Send the answer and close."""
        head: list[tuple[bytes, bytes]] = [(b"content-length", b"0"), (b"connection", b"close")]
        events: list[Any] = [
            h11.Response(status_code=408, headers=head, reason=b"Request Timeout"),
            h11.EndOfMessage(),
        ]
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
