"""The outermost layer of the site: how much of it one visitor may use, and one process gives.

Nothing here uses the database, so a refusal is cheap. Besides the limits per visitor there are
limits on a request that has not been read yet: its size, and how long it may take to arrive.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from io import BytesIO
from typing import Any, Final

from asgiref.sync import ThreadSensitiveContext
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http.cookie import parse_cookie

from aifeature.api import stopping
from aifeature.api.fair_threads import FairThreads, Turn
from aifeature.api.visitors import Visitor, Visitors
from aifeature.policies.rates import RateLimitStatus
from aifeature.services.jobs.refusals import Overloaded, RateLimited, Refusal
from project import switch_requests
from project.early_answer import Answer
from project.lifespan import App, Receive, Send
from project.request_body import BODY_S, Body

SPARE_THREADS: Final = 2
"""Threads for probes, and for each kind of request that flips a switch."""

MOST_WAITING: Final = 1_000
"""Probes, or flips, that may wait for a thread."""

SPARE_UNDER_WAY: Final = 4
"""Probes and flips under way of one address: five times as many."""

SPARE_BYTES: Final = 65_536
"""The most that the body of a probe or a flip may have."""

MOST_QUEUED: Final = 50
"""Requests of one visitor that may wait for a thread when one more comes."""

RETRY_S: Final = 2

INTRODUCTION_S: Final = 2.0
"""How long requests wait for the first one with the same credential."""

PROBES: Final = frozenset({"/healthz", "/readyz"})

STAFF: Final = f"{switch_requests.STAFF_COOKIE}=".encode()


async def pause(seconds: float) -> None:
    """Wait, but not longer than this process lives."""
    over = asyncio.Event()
    with stopping.told(over.set), suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()


class Concurrency:
    """An ASGI application around Django's: limits per visitor, and a few threads for all."""

    def __init__(
        self,
        app: App,
        *,
        body_s: float = BODY_S,
        sleep: Callable[[float], Awaitable[None]] = pause,
    ) -> None:
        """Read the limits from the settings; see `web_threads` and others in project/env.py."""
        limits = settings.AIFEATURE
        self._sleep = sleep
        self._app = app
        self._body_s = body_s
        self._most_bytes = 2 * settings.DATA_UPLOAD_MAX_MEMORY_SIZE  # a form holds text and a file
        self._visitors = Visitors(
            per_second=limits["REQUESTS_PER_SECOND"], under_way=limits["REQUESTS_UNDER_WAY"]
        )
        self._spare_visitors = Visitors(per_second=0, under_way=SPARE_UNDER_WAY)
        self._unread: Counter[Visitor] = Counter()
        """Bytes of bodies of which more is to come."""
        self._introduced: dict[bytes, asyncio.Event] = {}
        """Set when it is known whose credential it is, or that it is nobody's."""
        self._threads = FairThreads(limits["WEB_THREADS"], name="request")
        self._probes = FairThreads(SPARE_THREADS, name="probe")
        # Flips must get through when all other threads wait for a locked row. They are apart from
        # those that anybody may send, as their database connections are.
        self._flips = {
            is_staff: FairThreads(SPARE_THREADS, name="flip" if is_staff else "flip-unknown")
            for is_staff in (True, False)
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on with a turn to take threads by."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        threads = self._threads_for(scope)
        is_spare = threads is not self._threads
        until = asyncio.get_running_loop().time() + self._body_s
        body = Body(receive, SPARE_BYTES if is_spare else self._most_bytes, until)
        answer = Answer(send)
        try:
            body.check(scope)
            if is_spare:
                await self._pass_on_apart(threads, scope, body, answer)
            else:
                await self._pass_on(scope, body, answer)
            refusal = body.refusal
        except Refusal as found:
            refusal = found
        if refusal is not None and not answer.begun:
            await answer.refuse(scope, refusal, close=body.is_unread and body.is_expected)

    async def _pass_on_apart(
        self, threads: FairThreads, scope: Any, body: Body, answer: Answer
    ) -> None:
        """Pass a probe or a flip on, whatever else its visitor and others are doing."""
        with self._spare_visitors.request(b"", address_of(scope)) as visit:
            if threads.waiting() >= MOST_WAITING:
                raise Overloaded("We are busy. Try again in a moment.", retry_after_s=RETRY_S)
            # It counts apart, but it shows all the same whose session it is.
            visit.credential, visit.visitors = credential_of(scope), self._visitors
            visitor = visit.visitor
            await self._with_turn(threads.turn(lambda: visitor), scope, body, answer)

    async def _pass_on(self, scope: Any, body: Body, answer: Answer) -> None:
        credential, address = credential_of(scope), self._place_of(scope)
        try:
            async with self._introduction(credential) as known:
                self._check_queue(self._visitors.of(credential, address))
                with self._visitors.request(credential, address) as visit:
                    visit.on_known = known
                    turn = self._threads.turn(lambda: visit.visitor)
                    with body.counted(self._unread, visit.visitor):
                        await self._with_turn(turn, scope, body, answer)
        except RateLimited:
            with self._visitors.refused(self._visitors.of(credential, address)) as delay_s:
                if delay_s is not None:
                    await self._sleep(delay_s)
            raise

    def _place_of(self, scope: Any) -> str:
        """The client's address; of a browser that staff signed in with, that browser.

        So the staff is not refused when somebody floods the site from an address they share.
        """
        if any(STAFF in value for name, value in scope["headers"] if name == b"cookie"):
            request = ASGIRequest(scope, BytesIO())
            if switch_requests.is_staff_browser(request):
                cookie = request.COOKIES[switch_requests.STAFF_COOKIE]
                return f"staff browser {sha256(cookie.encode()).hexdigest()[:16]}"
        return address_of(scope)

    def _check_queue(self, visitor: Visitor) -> None:
        """Refuse a request if many of its visitor's requests already wait for a thread.

        Raises:
            RateLimited: too many wait.
        """
        if self._threads.waiting_of(visitor) >= MOST_QUEUED:
            raise RateLimited(
                "Too many of your requests are waiting. Wait a moment and try again.",
                retry_after_s=RETRY_S,
                left=RateLimitStatus(MOST_QUEUED, window_s=RETRY_S, remaining=0, reset_s=RETRY_S),
            )

    @asynccontextmanager
    async def _introduction(self, credential: bytes) -> AsyncIterator[Callable[[], object]]:
        """Let one request go first with a credential that nobody has looked up yet.

        Others that show it wait a moment: when it is known whose it is they count for that user,
        and not for their address. Yields what to call, in any thread, as soon as that is so.
        """
        first = self._introduced.get(credential)
        if first is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTRODUCTION_S):
                    await first.wait()
        if first is not None or self._visitors.knows(credential):
            yield lambda: None
            return
        loop = asyncio.get_running_loop()
        first = self._introduced[credential] = asyncio.Event()

        def over() -> None:
            first.set()
            if self._introduced.get(credential) is first:
                del self._introduced[credential]

        try:
            yield lambda: loop.call_soon_threadsafe(over)
        finally:
            over()

    async def _with_turn(self, turn: Turn, scope: Any, body: Body, answer: Answer) -> None:
        with turn:

            def at_start() -> None:
                turn.is_patient = True
                turn.let_go()  # a client that reads slowly holds no thread

            answer.at_start = at_start
            async with ThreadSensitiveContext(executor=turn):
                await self._app(scope, body.receive, answer.send)

    def _threads_for(self, scope: Any) -> FairThreads:
        path: str = scope["path"]
        if path in PROBES:
            return self._probes
        if not path.endswith(switch_requests.ENDINGS):
            return self._threads
        request = ASGIRequest(scope, BytesIO())
        if switch_requests.flip_of(request) is None:
            return self._threads
        return self._flips[switch_requests.is_staff_browser(request)]


def address_of(scope: Any) -> str:
    """The client's address; empty on a Unix socket whose proxy says nothing."""
    return scope["client"][0] if scope.get("client") else ""


def credential_of(scope: Any) -> bytes:
    """What Django will know the client by: a token of the API, or a session; empty if nothing."""
    headers = dict(scope["headers"])
    given: bytes = headers.get(b"authorization", b"")
    if given and scope["path"].startswith("/api/"):
        return given
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    session = cookies.get(settings.SESSION_COOKIE_NAME, "")
    return f"session {session}".encode() if session else b""
