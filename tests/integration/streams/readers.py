"""A reader of a stream on the real ASGI application, in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from aifeature.models import ApiToken
from project.asgi import application
from tests.integration.event_loop import BOUND_S, until

if TYPE_CHECKING:
    from uuid import UUID

    from django.contrib.auth.models import User


@dataclass(frozen=True)
class Event:
    name: str
    data: dict[str, Any]
    id: str | None


@dataclass
class Stream:
    """The events so far; `text` is the text that a page would show."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    raw: bytes = b""
    ended: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None
    """While this is set up and not set, the reader takes nothing."""
    have: str = ""
    """Text from an earlier connection."""

    @property
    def text(self) -> str:
        text = self.have
        for event in self.events:
            if event.name == "delta":
                text += event.data["text"]
            elif event.name == "reset":
                text = event.data["text"]
        return text

    @property
    def last_id(self) -> str:
        return [event.id for event in self.events if event.id][-1] or ""

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.name == name]

    async def until(self, met: Callable[[], bool]) -> None:
        await until(met)

    async def end(self) -> None:
        await until(lambda: self.ended)

    def take(self, body: bytes) -> None:
        self.raw += body
        while b"\n\n" in self.raw:
            block, self.raw = self.raw.split(b"\n\n", 1)
            fields: dict[str, str] = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            if "" in fields:
                self.comments.append(fields[""])
            if "event" in fields:
                event = Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
                self.events.append(event)


def token_of(user: User) -> str:
    return ApiToken.issue(user_id=user.pk, name="test")[1]


@asynccontextmanager
async def reader(
    token: str, job: UUID | str, *, last_id: str | None = None, have: str = ""
) -> AsyncIterator[Stream]:
    """A connection; leaving the block hangs up."""
    stream = Stream(have=have)
    headers = {b"host": b"testserver", b"authorization": f"Bearer {token}".encode()}
    if last_id is not None:
        headers[b"last-event-id"] = last_id.encode()
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/api/v1/jobs/{job}/events",
        "query_string": b"",
        "headers": list(headers.items()),
    }
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await stream.gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if stream.hold is not None:
            await stream.hold.wait()
        if message["type"] == "http.response.start":
            stream.status = message["status"]
            stream.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            stream.take(message.get("body", b""))
            stream.ended = not message.get("more_body", False)

    app = cast("Any", application)
    call = asyncio.create_task(app(scope, receive, send))
    try:
        yield stream
    finally:
        stream.gone.set()
        async with asyncio.timeout(BOUND_S):
            await call
