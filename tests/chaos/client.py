"""A decent HTTP client: repeats what may be repeated, waits as it is told, writes all down."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from tests.chaos.request_log import Deed, Entry, RequestLog, now

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled", "rejected"})
TRY_AGAIN: Final = frozenset({429, 503})
GIVE_UP: Final = "budget_exhausted"
"""The code of an answer after which a user goes home."""

WAITS: Final = (1.0, 1.2)
"""How long a user really waits, of what was asked for."""

PATIENCE_S: Final = 10.0
"""Nobody here waits longer between two tries, whatever Retry-After says."""

RATE_PATIENCE_S: Final = 20.0
"""The same for a rate: a bucket has one more by then, but for one of a process without Redis."""

LIMITS: Final = httpx2.Limits(
    max_connections=None, max_keepalive_connections=5, keepalive_expiry=3.0
)
"""Of a user's connections. An idle one is given up two seconds sooner than a web process that ends
does it, as every client must that keeps connections (deploy/gunicorn.conf.py)."""

ANSWER_S: Final = 30.0
"""How long an answer may take that does not wait for anything."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with a JSON body, if it had one."""

    http: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def problem(self) -> str:
        """The code of a problem document; empty when there is no error."""
        if self.http < 400:
            return ""
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return "no problem document"
        return str(self.body.get("code", "no code"))

    @property
    def wait_s(self) -> float:
        """What Retry-After asks for, within a user's patience."""
        asked = float(self.headers.get("retry-after", "1"))
        return min(asked, RATE_PATIENCE_S if self.problem == "rate_limited" else PATIENCE_S)

    @property
    def is_final(self) -> bool:
        """Whether it is of no use to ask again today."""
        return self.http not in TRY_AGAIN or self.problem == GIVE_UP


class Client:
    """The connections of all users, a pool for each: a pool's work grows with its square."""

    def __init__(self, base_url: str, log: RequestLog, dice: random.Random) -> None:
        self._base_url = base_url
        self._log = log
        self._dice = dice
        self._tls = ssl.create_default_context()  # made once: it costs 0.1 s of CPU
        self._pools: dict[int, httpx2.AsyncClient] = {}

    async def close(self) -> None:
        """Hang up."""
        for pool in self._pools.values():
            await pool.aclose()

    def _pool(self, user: User) -> httpx2.AsyncClient:
        if user.id not in self._pools:
            self._pools[user.id] = httpx2.AsyncClient(
                base_url=self._base_url,
                headers={"Authorization": f"Bearer {user.token}"},
                verify=self._tls,
                trust_env=False,
                timeout=ANSWER_S,
                limits=LIMITS,
            )
        return self._pools[user.id]

    async def ask(
        self,
        user: User,
        deed: Deed,
        key: str,
        method: str,
        path: str,
        *,
        data: Mapping[str, Any] | None = None,
        wait_s: float = 0.0,
    ) -> Answer:
        """Ask until there is an answer that is not "try again", and write each try down.

        Args:
            user: Who asks.
            deed: What for.
            key: Of the job; sent along when something is submitted.
            method: Of HTTP.
            path: Below the API's address.
            data: The body.
            wait_s: How long the server may think about it.
        """
        headers = {} if data is None else {"Idempotency-Key": key}
        for tries in range(1_000_000):
            begun, trace = now(), ConnectionTrace()
            try:
                response = await self._pool(user).request(
                    *(method, path),
                    json=data,
                    headers=headers,
                    timeout=ANSWER_S + wait_s,
                    extensions={"trace": trace},
                )
                answer = _answer(response)
            except (httpx2.TransportError, ValueError) as error:
                self.note(user, deed, key, begun, error=named(error), reused=not trace.made)
                await asyncio.sleep(self._dice.uniform(0.1, min(2.0, 0.2 * 2**tries)))
                continue
            self._note_answer(user, deed, key, begun, answer)
            if answer.is_final:
                return answer
            await asyncio.sleep(answer.wait_s * self._dice.uniform(*WAITS))
        raise AssertionError("a million tries")

    @asynccontextmanager
    async def events(
        self, user: User, path: str, last_id: str | None, trace: ConnectionTrace
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """Open an event stream; gives its head and its events' bytes.

        Raises:
            httpx2.TransportError: the connection failed, now or while it is read.
        """
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        # The server says something every 15 s: thrice that is silence.
        timeout = httpx2.Timeout(ANSWER_S, read=45.0)
        async with self._pool(user).stream(
            "GET", path, headers=headers, timeout=timeout, extensions={"trace": trace}
        ) as response:
            if response.status_code != 200:
                await response.aread()
                yield _answer(response), _nothing()
            else:
                yield Answer(200, response.headers, {}), _blocks(response)

    def note(self, user: User, deed: Deed, key: str, begun: float, **facts: Any) -> None:
        """Write a line."""
        self._log.write(Entry(user.id, deed, key, begun, now(), **facts))

    def _note_answer(self, user: User, deed: Deed, key: str, begun: float, answer: Answer) -> None:
        shown = answer.body if "status" in answer.body and answer.http < 300 else {}
        status = str(shown.get("status", ""))
        self.note(
            *(user, deed, key, begun),
            job=str(shown.get("id", "")),
            http=answer.http,
            status=status,
            problem=answer.problem,
            retry_after=answer.headers.get("retry-after"),
            left=answer.headers.get("ratelimit"),
            body=shown if status in TERMINAL else None,
        )


class ConnectionTrace:
    """Hears from the HTTP client whether a request had a connection made for it."""

    def __init__(self) -> None:
        self.made = False
        self.answered = False
        """Whether the first line of an answer came."""

    async def __call__(self, event: str, _: Mapping[str, Any]) -> None:
        """Take note of an event of httpcore's."""
        self.made = self.made or event == "connection.connect_tcp.started"
        self.answered = self.answered or event.endswith("receive_response_headers.complete")


@dataclass(frozen=True, slots=True)
class User:
    """One user with an API token."""

    id: int
    token: str


def _answer(response: httpx2.Response) -> Answer:
    body: dict[str, Any] = {}
    if "json" in response.headers.get("content-type", ""):
        body = json.loads(response.content)
    return Answer(response.status_code, response.headers, body)


def named(error: Exception) -> str:
    """An exception for the diary."""
    return f"{type(error).__name__}: {error}"


async def _blocks(response: httpx2.Response) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in response.aiter_bytes():
        *whole, rest = (rest + piece).split(b"\n\n")
        for block in whole:
            yield block


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for block in none:
        yield block
