# ruff: noqa: INP001 (a folder of settings, not a package)
"""Uvicorn's HTTP/1.1, which does not wait for ever for the rest of a request's head.

By itself it gives up a kept connection without a request, but not a new one, and none that sends
a head byte by byte.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 20.0
"""Seconds within which the head of a request must have arrived, from its first byte or, for the
first one, from the start of the connection. The time for bodies is in project/request_body.py."""


LAST_LOOK_S: Final = 0.5


class PunctualProtocol(H11Protocol):
    """One connection."""

    head_s = HEAD_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Go on waiting, or stop if the head is complete."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Look at what has arrived behind the request that was answered."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        super().connection_lost(exc)

    def _look(self) -> None:
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not begun:
            self._stop()
        elif self._deadline is None:
            self._start()

    def _start(self) -> None:
        self._deadline = self.loop.call_later(self.head_s, self.deadline_is_over)

    def deadline_is_over(self) -> None:
        """Look once more, and then give up."""
        # A process that stood still finds its timers over before it has read what came meanwhile.
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
        """Answer once, and close."""
        head: list[tuple[bytes, bytes]] = [(b"content-length", b"0"), (b"connection", b"close")]
        events: list[Any] = [
            h11.Response(status_code=408, headers=head, reason=b"Request Timeout"),
            h11.EndOfMessage(),
        ]
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
