"""One job from its user's side: submit it, follow it to its end in one way or another."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx2

from tests.chaos.client import TERMINAL, TRY_AGAIN, Client, ConnectionTrace, User, named
from tests.chaos.request_log import now

FEATURE: Final = "summarize"
POLL_S: Final = (1.0, 10.0)
"""Between two looks at a job: first and longest."""

RETRY_S: Final = 1.0
"""After the end of a stream that has not told the job's end, as `retry:` asks."""

QUIET_S: Final = 0.4
"""A text that ends with a full stop and gets no more words for so long is taken for whole. Pieces
come ten times a second, and what follows the text in the answer takes a second and more."""

LOOK_S: Final = 0.05

CancelAt = Literal["", "later", "at_once", "last_word", "end"]
"""When a job is cancelled: never, after `cancel_after_s` (`at_once`: 0), when the last word of its
text is on the screen, or when it has ended."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a user wants and how the user goes about it."""

    key: str
    document: str
    at_s: float
    """Seconds after the start."""

    streams: bool
    long_polls: bool
    """Whether the server is asked to wait; else the user does, longer and longer."""

    cancel_at: CancelAt = ""
    cancel_after_s: float | None = None
    replays: bool = False
    """Whether the same request is sent twice at once, and again at the end."""

    conflicts: bool = False
    """Whether the key is used for another document too."""


class Runner:
    """Does scenarios."""

    def __init__(self, client: Client, dice: random.Random) -> None:
        self._client = client
        self._dice = dice
        self.open: set[str] = set()
        """The keys of jobs that were accepted and are not seen to have ended."""

    async def run(self, user: User, scenario: Scenario) -> None:
        """Do one scenario to its end."""
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
            await self._client.ask(
                user, "conflict", scenario.key, "POST", f"features/{FEATURE}/jobs", data=data
            )

    async def _submit(self, user: User, scenario: Scenario) -> str | None:
        data = {"input": {"document": scenario.document}}
        path = f"features/{FEATURE}/jobs"
        answer = await self._client.ask(user, "submit", scenario.key, "POST", path, data=data)
        return str(answer.body["id"]) if answer.http == 202 else None

    async def _cancel(self, user: User, scenario: Scenario, job: str, screen: Screen) -> None:
        if scenario.cancel_at == "last_word":
            # The screen is filled by another task of ours, and sets no event.
            while not screen.closed and not screen.is_whole():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        await asyncio.sleep(scenario.cancel_after_s or 0.0)
        await self._client.ask(user, "cancel", scenario.key, "POST", f"jobs/{job}/cancel")

    async def _follow(self, user: User, scenario: Scenario, job: str, screen: Screen) -> None:
        if scenario.streams:
            await self._stream(user, scenario, job, screen)
        screen.closed = True
        path, wait_s = f"jobs/{job}", 0.0
        if scenario.long_polls:
            path, wait_s = f"{path}?wait=15", 15.0
        pause_s = POLL_S[0]
        while True:
            answer = await self._client.ask(user, "poll", scenario.key, "GET", path, wait_s=wait_s)
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
                facts["error"] = named(error)
                facts["reused"] = not (trace.made or trace.answered)
            self._client.note(user, "streamed", scenario.key, begun, **facts, **screen.told())
            if facts.get("http", 200) not in {200, *TRY_AGAIN}:
                return
            if not screen.last_event:
                await asyncio.sleep(wait_s * self._dice.uniform(0.8, 1.2))


class Screen:
    """What a page shows of a stream, kept over all its connections."""

    def __init__(self) -> None:
        self.text = ""
        self.last_id: str | None = None
        self.last_event = ""
        self.closed = False
        """Whether nothing more comes."""

        self._ids: list[str] = []
        self._grew_at = now()

    def take(self, block: bytes) -> None:
        """Take one event as it came."""
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
        """Whether the text seems to be all there is."""
        return self.text.endswith((".", "!", "?")) and now() - self._grew_at >= QUIET_S

    def told(self) -> dict[str, Any]:
        """For the diary; ids that were told are forgotten."""
        ids, self._ids = self._ids, []
        return {"text": self.text, "last_event": self.last_event, "ids": ids}
