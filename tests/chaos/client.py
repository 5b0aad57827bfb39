"""An HTTP client that follows the API's rules on retries and logs each request."""

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

from tests.chaos.request_log import Action, Entry, RequestLog, now

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled", "rejected"})
TRY_AGAIN: Final = frozenset({429, 503})
GIVE_UP: Final = "budget_exhausted"
"""The problem code after which a user makes no more requests."""

WAITS: Final = (1.0, 1.2)
"""Shortest and longest wait of a user, as a share of Retry-After."""

PATIENCE_S: Final = 10.0
"""Longest wait between two tries, even if Retry-After is longer."""

RATE_PATIENCE_S: Final = 20.0
"""The same after a rate limit. Except in a process without Redis, the bucket then has a token."""

LIMITS: Final = httpx2.Limits(
    max_connections=None, max_keepalive_connections=5, keepalive_expiry=3.0
)
"""Connections of one user. The client closes an idle one two seconds before a web process that ends
would, as each client with kept connections must (deploy/gunicorn.conf.py)."""

ANSWER_S: Final = 30.0
"""Time-out of a request that waits for nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with a JSON body, if it had one."""

    http: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def problem(self) -> str:
        """The code of the problem document; empty if there is no error."""
        if self.http < 400:
            return ""
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return "no problem document"
        return str(self.body.get("code", "no code"))

    @property
    def wait_s(self) -> float:
        """The seconds of Retry-After, limited."""
        wanted = float(self.headers.get("retry-after", "1"))
        return min(wanted, RATE_PATIENCE_S if self.problem == "rate_limited" else PATIENCE_S)

    @property
    def is_final(self) -> bool:
        """Whether no retry is useful today."""
        return self.http not in TRY_AGAIN or self.problem == GIVE_UP


class Client:
    """The connections of all users, with a pool for each: one large pool would be slow."""

    def __init__(self, base_url: str, log: RequestLog, dice: random.Random) -> None:
        self._base_url = base_url
        self._log = log
        self._dice = dice
        self._tls = ssl.create_default_context()  # made once: it costs 0.1 s of CPU
        self._pools: dict[int, httpx2.AsyncClient] = {}

    async def close(self) -> None:
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

    async def request(
        self,
        user: User,
        action: Action,
        key: str,
        method: str,
        path: str,
        *,
        data: Mapping[str, Any] | None = None,
        wait_s: float = 0.0,
    ) -> Answer:
        """Send a request until its answer is final, and log each try.

        `key` is the job's idempotency key, sent with a submission. `path` is relative to the API's
        address. `wait_s` is the time for which the server may hold the request.
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
                self.note(user, action, key, begun, error=error_text(error), reused=not trace.made)
                await asyncio.sleep(self._dice.uniform(0.1, min(2.0, 0.2 * 2**tries)))
                continue
            self._note_answer(user, action, key, begun, answer)
            if answer.is_final:
                return answer
            await asyncio.sleep(answer.wait_s * self._dice.uniform(*WAITS))
        raise AssertionError("a million tries")

    @asynccontextmanager
    async def events(
        self, user: User, path: str, last_id: str | None, trace: ConnectionTrace
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """Open an event stream. Yield its response and the bytes of each event.

        Raises httpx2.TransportError if the connection fails, now or later.
        """
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        # The server sends something every 15 s.
        timeout = httpx2.Timeout(ANSWER_S, read=45.0)
        async with self._pool(user).stream(
            "GET", path, headers=headers, timeout=timeout, extensions={"trace": trace}
        ) as response:
            if response.status_code != 200:
                await response.aread()
                yield _answer(response), _nothing()
            else:
                yield Answer(200, response.headers, {}), _blocks(response)

    def note(self, user: User, action: Action, key: str, begun: float, **facts: Any) -> None:
        self._log.write(Entry(user.id, action, key, begun, now(), **facts))

    def _note_answer(
        self, user: User, action: Action, key: str, begun: float, answer: Answer
    ) -> None:
        shown = answer.body if "status" in answer.body and answer.http < 300 else {}
        status = str(shown.get("status", ""))
        self.note(
            *(user, action, key, begun),
            job=str(shown.get("id", "")),
            http=answer.http,
            status=status,
            problem=answer.problem,
            retry_after=answer.headers.get("retry-after"),
            left=answer.headers.get("ratelimit"),
            body=shown if status in TERMINAL else None,
        )


class ConnectionTrace:
    """Trace callback of httpcore: records whether a request opened a new connection."""

    def __init__(self) -> None:
        self.made = False
        self.answered = False
        """Whether the head of a response arrived."""

    async def __call__(self, event: str, _: Mapping[str, Any]) -> None:
        self.made = self.made or event == "connection.connect_tcp.started"
        self.answered = self.answered or event.endswith("receive_response_headers.complete")


@dataclass(frozen=True, slots=True)
class User:
    id: int
    token: str


def _answer(response: httpx2.Response) -> Answer:
    body: dict[str, Any] = {}
    if "json" in response.headers.get("content-type", ""):
        body = json.loads(response.content)
    return Answer(response.status_code, response.headers, body)


def error_text(error: Exception) -> str:
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
