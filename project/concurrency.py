"""Limits of one visitor's requests and of a process's threads, before Django handles a request.

Nothing here uses the database, so a refusal is cheap. A request also has limits while it arrives:
its size, and the time until it is complete.
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
from aifeature.api.refusals import Interrupted
from aifeature.api.visitors import Visitor, Visitors
from aifeature.policies.rates import RateLimitStatus
from aifeature.services.jobs.refusals import Overloaded, RateLimited, Refusal
from project import switch_requests
from project.early_answer import Answer
from project.lifespan import App, Receive, Send
from project.request_body import BODY_S, Body

SPARE_THREADS: Final = 2
"""Threads for probes, and threads for each kind of request that flips a switch."""

MOST_WAITING: Final = 1_000
"""Most probes, or flips of one kind, that wait for a thread."""

SPARE_UNDER_WAY: Final = 4
"""One address may have five times this many probes and flips in progress."""

SPARE_BYTES: Final = 65_536
"""Largest body of a probe or a flip, in bytes."""

MOST_QUEUED: Final = 50
"""Most requests of one visitor that wait for a thread. Another request is refused."""

RETRY_S: Final = 2

RESTARTING: Final = (
    "This server restarted before your request was finished. It may have been carried out."
    " Please check before you send it again."
)

INTRODUCTION_S: Final = 2.0
"""Longest time for which requests wait for the first one with the same credential."""

PROBES: Final = frozenset({"/healthz", "/readyz"})

STAFF: Final = f"{switch_requests.STAFF_COOKIE}=".encode()


async def pause(seconds: float) -> None:
    """Wait for this time, or until the process is stopping."""
    over = asyncio.Event()
    with stopping.on_stop(over.set), suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()


class Concurrency:
    """An ASGI application around Django's, with limits per visitor and few threads."""

    def __init__(
        self,
        app: App,
        *,
        body_s: float = BODY_S,
        sleep: Callable[[float], Awaitable[None]] = pause,
    ) -> None:
        """Read the limits from the settings (`web_threads` and others in project/env.py)."""
        limits = settings.AIFEATURE
        self._sleep = sleep
        self._app = app
        self._body_s = body_s
        self._most_bytes = 2 * settings.DATA_UPLOAD_MAX_MEMORY_SIZE  # a form has text and a file
        self._visitors = Visitors(
            per_second=limits["REQUESTS_PER_SECOND"], under_way=limits["REQUESTS_UNDER_WAY"]
        )
        self._spare_visitors = Visitors(per_second=0, under_way=SPARE_UNDER_WAY)
        self._unread: Counter[Visitor] = Counter()
        """Bytes that have arrived of incomplete bodies."""
        self._introduced: dict[bytes, asyncio.Event] = {}
        """By credential, set when its user is known, or when it has none."""
        self._threads = FairThreads(limits["WEB_THREADS"], name="request")
        self._probes = FairThreads(SPARE_THREADS, name="probe")
        # A flip must succeed while all other threads wait for a locked row. Flips of staff have
        # their own threads and database connections, which strangers cannot use up.
        self._flips = {
            is_staff: FairThreads(SPARE_THREADS, name="flip" if is_staff else "flip-unknown")
            for is_staff in (True, False)
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on with a turn for the threads."""
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
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if answer.begun or task is None or not task.cancelling():
                raise
            # The graceful time-out of the server is over.
            refusal = Interrupted(RESTARTING, retry_after_s=RETRY_S)
        if refusal is not None and not answer.begun:
            await answer.refuse(scope, refusal, close=body.is_unread and body.is_expected)

    async def _pass_on_apart(
        self, threads: FairThreads, scope: Any, body: Body, answer: Answer
    ) -> None:
        """Pass a probe or a flip on. It is not limited by other requests of its visitor."""
        with self._spare_visitors.request(b"", address_of(scope)) as visit:
            if threads.waiting() >= MOST_WAITING:
                raise Overloaded("We are busy. Try again in a moment.", retry_after_s=RETRY_S)
            # It has separate limits, but its session still identifies the user for the others.
            visit.credential, visit.visitors = credential_of(scope), self._visitors
            visitor = visit.visitor
            await self._with_turn(threads.turn(lambda: visitor), scope, body, answer)

    async def _pass_on(self, scope: Any, body: Body, answer: Answer) -> None:
        credential, address = credential_of(scope), self._address_key(scope)
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

    def _address_key(self, scope: Any) -> str:
        """Return the client's address. For a browser in which staff signed in, return its own key.

        Staff is then not refused when another client floods the site from the same address.
        """
        if any(STAFF in value for name, value in scope["headers"] if name == b"cookie"):
            request = ASGIRequest(scope, BytesIO())
            if switch_requests.is_staff_browser(request):
                cookie = request.COOKIES[switch_requests.STAFF_COOKIE]
                return f"staff browser {sha256(cookie.encode()).hexdigest()[:16]}"
        return address_of(scope)

    def _check_queue(self, visitor: Visitor) -> None:
        """Raise RateLimited if too many requests of the visitor wait for a thread."""
        if self._threads.waiting_of(visitor) >= MOST_QUEUED:
            raise RateLimited(
                "Too many of your requests are waiting. Wait a moment and try again.",
                retry_after_s=RETRY_S,
                left=RateLimitStatus(MOST_QUEUED, window_s=RETRY_S, remaining=0, reset_s=RETRY_S),
            )

    @asynccontextmanager
    async def _introduction(self, credential: bytes) -> AsyncIterator[Callable[[], object]]:
        """Let one request with an unknown credential go first.

        Other requests with it wait, so that they count for its user and not for their address.
        Yield a function to call, from any thread, as soon as the user is known.
        """
        first = self._introduced.get(credential)
        if first is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTRODUCTION_S):
                    await first.wait()
        if first is not None or self._visitors.is_known(credential):
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
                turn.let_go()  # a slow reader must not hold a thread

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
    """Return the client's address. It is empty on a Unix socket whose proxy sends none."""
    return scope["client"][0] if scope.get("client") else ""


def credential_of(scope: Any) -> bytes:
    """Return the client's credential: an API token or a session. It is empty if there is none."""
    headers = dict(scope["headers"])
    given: bytes = headers.get(b"authorization", b"")
    if given and scope["path"].startswith("/api/"):
        return given
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    session = cookies.get(settings.SESSION_COOKIE_NAME, "")
    return f"session {session}".encode() if session else b""
