"""One job as its user handles it: submit, follow until the end, perhaps cancel."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx2

from tests.chaos.client import TERMINAL, TRY_AGAIN, Client, ConnectionTrace, User, error_text
from tests.chaos.request_log import now

FEATURE: Final = "summarize"
POLL_S: Final = (1.0, 10.0)
"""First and longest pause between two polls."""

RETRY_S: Final = 1.0
"""Pause before a stream is opened again, as `retry:` requires."""

QUIET_S: Final = 0.4
"""A text that ends with a full stop and does not grow for this time counts as complete. Pieces come
ten times a second, and the rest of the answer takes a second or more."""

SCREEN_POLL_S: Final = 0.05

CancelAt = Literal["", "later", "at_once", "last_word", "end"]
"""When a job is cancelled: never, after `cancel_after_s` (`at_once`: 0), after the last word of its
text, or after its end."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One job of a user, and the way the user handles it."""

    key: str
    document: str
    at_s: float
    """Seconds after the start."""

    streams: bool
    long_polls: bool
    """Whether polls wait in the server; otherwise the user pauses, longer each time."""

    cancel_at: CancelAt = ""
    cancel_after_s: float | None = None
    replays: bool = False
    """Whether the submission is sent twice at the same time, and again at the end."""

    conflicts: bool = False
    """Whether the idempotency key is also used for another document."""


class Runner:
    def __init__(self, client: Client, dice: random.Random) -> None:
        self._client = client
        self._dice = dice
        self.open: set[str] = set()
        """Keys of the accepted jobs that have not ended, as far as their users see."""

    async def run(self, user: User, scenario: Scenario) -> None:
        if scenario.replays:
            jobs = await asyncio.gather(self._submit(user, scenario), self._submit(user, scenario))
            job = jobs[0]
        else:
            job = await self._submit(user, scenario)
        if job is None:
            return
        self.open.add(scenario.key)
        screen = Screen()
        followed = self._follow(user, scenario, job, screen)
        if scenario.cancel_at in {"", "end"}:
            await followed
        else:
            await asyncio.gather(followed, self._cancel(user, scenario, job, screen))
        if scenario.cancel_at == "end":
            await self._cancel(user, scenario, job, screen)
        self.open.discard(scenario.key)
        if scenario.replays:
            await self._submit(user, scenario)
        if scenario.conflicts:
            data = {"input": {"document": scenario.document + " More."}}
            await self._client.request(
                user, "conflict", scenario.key, "POST", f"features/{FEATURE}/jobs", data=data
            )

    async def _submit(self, user: User, scenario: Scenario) -> str | None:
        data = {"input": {"document": scenario.document}}
        path = f"features/{FEATURE}/jobs"
        answer = await self._client.request(user, "submit", scenario.key, "POST", path, data=data)
        return str(answer.body["id"]) if answer.http == 202 else None

    async def _cancel(self, user: User, scenario: Scenario, job: str, screen: Screen) -> None:
        if scenario.cancel_at == "last_word":
            # Another task of ours fills the screen, without an event.
            while not screen.closed and not screen.is_whole():  # noqa: ASYNC110
                await asyncio.sleep(SCREEN_POLL_S)
        await asyncio.sleep(scenario.cancel_after_s or 0.0)
        await self._client.request(user, "cancel", scenario.key, "POST", f"jobs/{job}/cancel")

    async def _follow(self, user: User, scenario: Scenario, job: str, screen: Screen) -> None:
        if scenario.streams:
            await self._stream(user, scenario, job, screen)
        screen.closed = True
        path, wait_s = f"jobs/{job}", 0.0
        if scenario.long_polls:
            path, wait_s = f"{path}?wait=15", 15.0
        pause_s = POLL_S[0]
        while True:
            answer = await self._client.request(
                user, "poll", scenario.key, "GET", path, wait_s=wait_s
            )
            if answer.http != 200 or answer.body["status"] in TERMINAL:
                return
            if not scenario.long_polls:
                await asyncio.sleep(pause_s * self._dice.uniform(0.7, 1.3))
                pause_s = min(POLL_S[1], pause_s * 1.5)

    async def _stream(self, user: User, scenario: Scenario, job: str, screen: Screen) -> None:
        while not screen.last_event:
            begun, facts, trace = now(), dict[str, Any](job=job), ConnectionTrace()
            wait_s = RETRY_S
            try:
                path = f"jobs/{job}/events"
                async with self._client.events(user, path, screen.last_id, trace) as (
                    answer,
                    blocks,
                ):
                    facts |= {"http": answer.http, "problem": answer.problem}
                    facts["retry_after"] = answer.headers.get("retry-after")
                    if answer.http in TRY_AGAIN:
                        wait_s = answer.wait_s
                    async for block in blocks:
                        screen.take(block)
            except httpx2.TransportError as error:
                facts["error"] = error_text(error)
                facts["reused"] = not (trace.made or trace.answered)
            self._client.note(user, "streamed", scenario.key, begun, **facts, **screen.log_fields())
            if facts.get("http", 200) not in {200, *TRY_AGAIN}:
                return
            if not screen.last_event:
                await asyncio.sleep(wait_s * self._dice.uniform(0.8, 1.2))


class Screen:
    """The text that a page shows of a stream, over all its connections."""

    def __init__(self) -> None:
        self.text = ""
        self.last_id: str | None = None
        self.last_event = ""
        self.closed = False
        """Whether the stream has ended."""

        self._ids: list[str] = []
        self._grew_at = now()

    def take(self, block: bytes) -> None:
        lines = (line.partition(": ") for line in block.decode().split("\n"))
        event = {name: value for name, _, value in lines if name}
        name = event.get("event", "")
        if "id" in event:
            self.last_id = event["id"]
            self._ids.append(event["id"])
        if name in {"delta", "reset"}:
            piece = json.loads(event["data"])["text"]
            self.text = self.text + piece if name == "delta" else piece
            self._grew_at = now()
        elif name in {"result", "error"}:
            self.last_event = name

    def is_whole(self) -> bool:
        """Return whether the text seems to be complete."""
        return self.text.endswith((".", "!", "?")) and now() - self._grew_at >= QUIET_S

    def log_fields(self) -> dict[str, Any]:
        """Return the fields of a log entry. Each event id is returned once."""
        ids, self._ids = self._ids, []
        return {"text": self.text, "last_event": self.last_event, "ids": ids}
