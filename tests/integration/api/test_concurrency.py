"""The outermost layer on the real site: no visitor blocks the site for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.signals import request_finished
from django.db import connection
from django.test import Client

from aifeature.api import fair_threads, waiting
from aifeature.models import FeatureControl
from project import switch_requests
from project.concurrency import Concurrency
from project.handler import Handler
from tests.integration import event_loop
from tests.integration.admin.test_switch import DETAIL, STOP
from tests.integration.api.api_jobs import job
from tests.integration.api.test_long_poll import end
from tests.integration.event_loop import BOUND_S, until
from tests.integration.execution.keeper.conftest import locked

pytestmark = pytest.mark.usefixtures("committed", "opened")

THREADS = 2
SUBMISSION = {"input": {"document": "The parcel was lost. We sent another one on Monday."}}
LOCK = "LOCK auth_user IN ACCESS EXCLUSIVE MODE"


@pytest.fixture
def site(settings: Any, refusals: Refusals) -> Concurrency:
    """The site with two threads and five requests of a user at a time."""
    limits = {"WEB_THREADS": THREADS, "REQUESTS_UNDER_WAY": 5, "REQUESTS_PER_SECOND": 0}
    settings.AIFEATURE = {**settings.AIFEATURE, **limits}
    return Concurrency(Handler(), body_s=BOUND_S, sleep=refusals.sleep)


class Refusals:
    """Refusals whose answers wait until the test sends them."""

    def __init__(self) -> None:
        self.waiting = 0
        self._answered: asyncio.Event | None = None

    async def sleep(self, _: float) -> None:
        self._answered = self._answered or asyncio.Event()
        self.waiting += 1
        await self._answered.wait()

    def answer(self) -> None:
        assert self._answered is not None
        self._answered.set()


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


def client_of(site: Concurrency, user: User | None = None) -> httpx2.AsyncClient:
    return event_loop.client_of(site, user, base_url="http://testserver/api/v1")


def run(scene: Callable[[], Awaitable[None]]) -> None:
    connection.close()

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scene()

    asyncio.run(bounded())


def test_a_burst_of_long_polls_is_refused_beyond_a_users_share(
    site: Concurrency, ada: User, bob: User, refusals: Refusals
) -> None:
    row = job(ada)
    mine, other = client_of(site, ada), client_of(site, bob)

    async def scene() -> None:
        async with mine, other:
            assert (await mine.get("/features")).status_code == 200  # its token is known from here
            polls = [asyncio.create_task(mine.get(f"/jobs/{row.id}?wait=30")) for _ in range(50)]
            await until(lambda: refusals.waiting == 45)
            assert not any(poll.done() for poll in polls), (
                "a client that repeats at once is slowed down"
            )
            refusals.answer()
            await until(lambda: sum(poll.done() for poll in polls) == 45)
            refused = [poll.result() for poll in polls if poll.done()]
            assert {answer.status_code for answer in refused} == {429}
            assert refused[0].json()["code"] == "rate_limited"
            assert int(refused[0].headers["retry-after"]) > 0
            await until(lambda: len(waiting.watch()._listeners) == 5)
            assert (await other.get("/features")).status_code == 200
            await sync_to_async(end)([row])
            answers = await asyncio.gather(*polls)
            assert sum(answer.status_code == 200 for answer in answers) == 5
            assert (await mine.get("/features")).status_code == 200, "they left nothing behind"

    run(scene)


def test_the_first_request_with_a_token_identifies_the_others(site: Concurrency, ada: User) -> None:
    """Without this, a burst with a new token counts for its address, which may send more.

    A user may have 5 requests under way here, an address 25.
    """
    mine = client_of(site, ada)
    admitted: list[int] = []
    site._sleep = lambda _: asyncio.sleep(0)

    async def scene() -> None:
        async with mine:
            with locked("LOCK aifeature_apitoken IN ACCESS EXCLUSIVE MODE"):
                polls = [asyncio.create_task(mine.get("/features")) for _ in range(20)]
                await until(lambda: bool(site._introduced))
                for _ in range(100):
                    await asyncio.sleep(0)
                address = site._visitors.of(b"", "192.0.2.7")
                admitted.append(site._visitors.open_requests(address))
            assert {poll.status_code for poll in await asyncio.gather(*polls)} == {200, 429}
        assert not site._introduced

    run(scene)
    assert admitted == [1]


def test_waiting_requests_leave_threads_to_others(site: Concurrency, ada: User, bob: User) -> None:
    mine, other = client_of(site, ada), client_of(site, bob)

    async def scene() -> None:
        async with mine, other:
            for each in (mine, other):
                assert (await each.get("/features")).status_code == 200
            with locked("SELECT 1 FROM auth_user WHERE id = %s FOR UPDATE", ada.pk):
                stuck = [
                    asyncio.create_task(mine.post("/features/summarize/jobs", json=SUBMISSION))
                    for _ in range(5)
                ]
                await until(lambda: site._threads.waiting() == 4)
                assert (await other.get("/features")).status_code == 200
                assert not all(each.done() for each in stuck)
            for answer in await asyncio.gather(*stuck):
                assert answer.status_code in {202, 503}

    run(scene)


def test_a_visitor_with_a_full_queue_is_refused(
    site: Concurrency, ada: User, refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("project.concurrency.MOST_QUEUED", 2)
    mine = client_of(site, ada)

    async def scene() -> None:
        async with mine:
            assert (await mine.get("/features")).status_code == 200
            with locked("LOCK aifeature_apitoken IN ACCESS EXCLUSIVE MODE"):
                stuck = [asyncio.create_task(mine.get("/features")) for _ in range(3)]
                await until(lambda: site._threads.waiting() == 2)
                one_more = asyncio.create_task(mine.get("/features"))
                await until(lambda: refusals.waiting == 1)
                refusals.answer()
                assert (await one_more).status_code == 429
            for answer in await asyncio.gather(*stuck):
                assert answer.status_code in {200, 503}

    run(scene)


def test_a_flip_and_a_probe_need_none_of_the_threads_that_all_wait(
    site: Concurrency, admin_user: User, ada: User, bob: User
) -> None:
    FeatureControl.objects.get_or_create(feature="summarize")
    browser = Client()
    browser.force_login(admin_user)
    browser.get(DETAIL)  # as staff, so it gets the cookie of staff
    cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
    assert switch_requests.STAFF_COOKIE not in cookies
    browser.post("/admin/login/", {"username": "admin", "password": "password"})
    cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
    assert switch_requests.STAFF_COOKIE in cookies
    users = [client_of(site, ada), client_of(site, bob)]
    on_call = client_of(site)
    on_call.cookies.update(cookies)

    async def scene() -> None:
        async with users[0], users[1], on_call:
            for each in users:
                assert (await each.get("/features")).status_code == 200
            with locked("LOCK aifeature_apitoken IN ACCESS EXCLUSIVE MODE"):
                stuck = [
                    asyncio.create_task(each.get("/features")) for each in users for _ in range(2)
                ]
                await until(lambda: site._threads.waiting() == 2)
                page = await on_call.get(f"http://testserver{STOP}", headers={"HX-Request": "true"})
                assert "This stops" in page.text
                assert (await on_call.get("http://testserver/readyz")).status_code == 200
                assert not any(each.done() for each in stuck)
            for answer in await asyncio.gather(*stuck):
                assert answer.status_code in {200, 503}

    run(scene)


@asynccontextmanager
async def request(
    site: Concurrency,
    *,
    headers: dict[str, str],
    parts: Sequence[bytes] = (),
    hold: asyncio.Event | None = None,
    path: str = "/api/v1/features/summarize/jobs",
    query: bytes = b"",
    host: str = "192.0.2.7",
) -> AsyncIterator[list[Any]]:
    """Send a request whose body comes in `parts`, and yield the messages of the response.

    An empty part ends the body; without one the body never ends. The client takes the response
    only while `hold`, if given, is set.
    """
    answered: list[Any] = []
    waiting_parts = list(parts)
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if waiting_parts:
            part = waiting_parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(part)}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        answered.append(message)
        if hold is not None:
            await hold.wait()

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query,
        "client": (host, 5),
        "headers": [
            (b"host", b"testserver"),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
    }
    task = asyncio.create_task(cast("Any", site)(scope, receive, send))
    try:
        yield answered
    finally:
        gone.set()
        async with asyncio.timeout(BOUND_S):
            await task


def status_of(answered: list[Any]) -> int:
    status: int = answered[0]["status"]
    return status


CHUNK = b" " * 1_000_000


def test_a_request_whose_answer_has_begun_ends_properly_however_long_it_waits(
    site: Concurrency, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[object] = []

    def note(sender: object, **_: Any) -> None:
        finished.append(sender)

    async def scene() -> None:
        hold = asyncio.Event()
        sent = request(site, headers={"content-length": "0"}, parts=[b""], hold=hold)
        async with sent as answered:
            await until(lambda: bool(answered))
            monkeypatch.setattr(fair_threads, "LONGEST_WAIT_S", -1.0)  # every wait is too long now
            hold.set()

    request_finished.connect(note)
    try:
        run(scene)
    finally:
        request_finished.disconnect(note)
    assert len(finished) == 1


@pytest.mark.parametrize(
    ("headers", "parts", "status", "code"),
    [
        ({"content-length": "999999999999"}, [], 413, "input_too_large"),
        ({"transfer-encoding": "chunked"}, [CHUNK] * 6, 413, "input_too_large"),
        ({"content-length": "5", "transfer-encoding": "chunked"}, [], 400, "bad_request"),
        ({"content-length": "5"}, [b"{"], 408, "request_timeout"),
        ({"transfer-encoding": "chunked"}, [], 408, "request_timeout"),
    ],
    ids=["too long", "too long in parts", "two lengths", "half a body", "no body"],
)
def test_a_body_is_not_read_without_end(
    site: Concurrency, headers: dict[str, str], parts: list[bytes], status: int, code: str
) -> None:
    site._body_s = 0.1

    async def scene() -> None:
        async with request(site, headers=headers, parts=parts) as answered:
            await until(lambda: len(answered) == 2)
            assert status_of(answered) == status
            assert f'"{code}"'.encode() in answered[1]["body"]
            assert (b"connection", b"close") in answered[0]["headers"]

    run(scene)


def test_a_client_that_reads_slowly_holds_no_thread(site: Concurrency) -> None:
    """Both come from one address, which has one of the two threads."""
    stranger = client_of(site)

    async def scene() -> None:
        hold = asyncio.Event()
        slow = request(site, headers={"content-length": "0"}, parts=[b""], hold=hold)
        async with stranger, slow as answered:
            await until(lambda: bool(answered))
            assert (await stranger.get("/features")).status_code == 401
            assert len(answered) == 1, "the slow client has still not read its answer"
            hold.set()

    run(scene)
