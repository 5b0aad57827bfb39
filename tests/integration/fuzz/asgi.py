"""Sends any bytes to the application as an ASGI server does, and keeps the answer."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from asgiref.sync import async_to_sync
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction

from aifeature.services.controls import effective
from project.handler import Handler
from project.readable import Readable

HOST = (b"host", b"testserver")


@dataclass(frozen=True)
class Visit:
    """One request. `target` is path and query, percent-encoded."""

    target: bytes
    method: str = "GET"
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""

    def scope(self) -> dict[str, Any]:
        """Return the scope that uvicorn makes."""
        path, _, query = self.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": unquote_to_bytes(path).decode(errors="replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [HOST, *self.headers],
            "client": ("127.0.0.1", 50_000),
            "server": ("testserver", 80),
        }


@dataclass
class Answer:
    """An answer, and the defects logged meanwhile."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    defects: list[str] = field(default_factory=list)

    @property
    def is_fine(self) -> bool:
        """Whether it is an answer, and nothing failed."""
        return 200 <= self.status < 500 and not self.defects


class Site:
    """The application, in this test's own transaction."""

    def __init__(self, before_undo: Callable[[], None] = lambda: None) -> None:
        """`before_undo` is called after each request, while its writes are still there."""
        self._handler = Handler()
        self._before_undo = before_undo

    def visit(self, visit: Visit) -> Answer:
        """Send a request, and undo its writes."""
        answer = Answer()
        with _noting_defects(answer), _connection_kept(), transaction.atomic():
            async_to_sync(self._send)(visit, answer)
            self._before_undo()
            transaction.set_rollback(True)
        effective.cache.clear()
        return answer

    async def _send(self, visit: Visit, answer: Answer) -> None:
        over = asyncio.Event()
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": visit.body, "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = dict(message["headers"])
                return
            answer.body += message.get("body", b"")
            if answer.headers.get(b"Content-Type", b"").startswith(b"text/event-stream"):
                over.set()  # the reader hangs up after the first event

        # Not by its call, which would run views in a thread outside of the test's transaction.
        handle: Any = self._handler.handle
        await Readable(handle)(visit.scope(), receive, send)
        over.set()


@contextmanager
def _noting_defects(answer: Answer) -> Iterator[None]:
    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            refused = getattr(record, "status_code", 500) < 500
            failed = record.exc_info or hasattr(record, "status_code") or hasattr(record, "where")
            if record.levelno < logging.ERROR or refused or not failed:
                return  # an alert to operators is no defect of the site
            found = record.exc_info
            where = traceback.format_tb(found[2])[-1] if found and found[2] else ""
            answer.defects.append(f"{record.getMessage()[:500]} {found and found[1]!r} {where}")

    notes = Notes()
    logging.getLogger().addHandler(notes)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(notes)


@contextmanager
def _connection_kept() -> Iterator[None]:
    """A request would close the connection that the test's transaction is on."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)
