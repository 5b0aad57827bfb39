"""Long-polls on the real ASGI application: they answer on time, and hold no thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast
from uuid import UUID, uuid4

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections
from django.test import Client

from aifeature.api import stopping, waiting
from aifeature.models import Job, Status, transitions
from aifeature.models.job_states import JobState
from project.asgi import application
from tests.integration import event_loop
from tests.integration.api.api_jobs import bearer, job
from tests.integration.event_loop import until

POLLS = 50
POOL = 1
BOUND_S = 20.0
"""Far above what is needed, far below the 30 s that a poll would wait by itself."""


@pytest.fixture
def small_pool(committed: None) -> Iterator[None]:
    """One database connection. A request that kept it would block all others."""
    wrapper = cast("Any", connection)
    options = connections.databases["default"]["OPTIONS"]
    usual = options["pool"]
    wrapper.close()
    wrapper.close_pool()
    options["pool"] = {**usual, "max_size": POOL, "timeout": 20}
    yield
    wrapper.close()
    wrapper.close_pool()
    options["pool"] = usual


def client_of(user: User) -> httpx2.AsyncClient:
    return event_loop.client_of(application, user, base_url="http://testserver/api/v1")


def move(row: Job, status: Status) -> None:
    claimed = transitions.claim(row.pk, worker="w", lease_s=15)
    assert claimed is not None
    if status is Status.NEEDS_APPROVAL:
        transitions.await_approval(claimed, {}, reason="r", expires_s=60, settlement=None)
    elif status is not Status.RUNNING:
        transitions.finish(claimed, status)


def end(rows: list[Job]) -> None:
    Job.objects.filter(pk__in=[row.pk for row in rows]).update(
        status=Status.CANCELLED, finished_at="2026-01-01T00:00Z"
    )
    connection.close()


async def hang_up_while_waiting(client: httpx2.AsyncClient, path: str) -> None:
    """Start a long-poll whose client disconnects."""
    token = client.headers["authorization"].encode()
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"wait=30",
        "headers": [(b"host", b"testserver"), (b"authorization", token)],
    }
    request = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if request:
            return request.pop()
        await until(lambda: waiting_now() == 1)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError(message)

    await application(scope, cast("Any", receive), cast("Any", send))


def waiting_now() -> int:
    return len(waiting.watch()._listeners)


def test_many_long_polls_leave_the_site_to_others(ada: User, small_pool: None) -> None:
    rows = [job(ada) for _ in range(POLLS)]
    client = client_of(ada)
    connection.close()
    before = set(threading.enumerate())

    async def scene() -> tuple[list[httpx2.Response], list[httpx2.Response], int]:
        async with client:
            threads = threading.active_count()
            polls = [asyncio.create_task(client.get(f"/jobs/{row.id}?wait=30")) for row in rows]
            await until(lambda: waiting_now() == POLLS)
            most = threads + settings.AIFEATURE["WEB_THREADS"] + 1  # and that of the watch
            await until(lambda: threading.active_count() <= most)
            extra = threading.active_count() - threads
            async with asyncio.timeout(BOUND_S):
                others = [await client.get("/features") for _ in range(10)]
            assert not any(poll.done() for poll in polls)
            await sync_to_async(end)(rows)
            async with asyncio.timeout(BOUND_S):
                return await asyncio.gather(*polls), others, extra

    answers, others, extra = asyncio.run(scene())
    assert {response.status_code for response in others} == {200}
    assert [response.json()["status"] for response in answers] == ["cancelled"] * POLLS
    assert [response.json()["id"] for response in answers] == [str(row.id) for row in rows]
    assert extra <= settings.AIFEATURE["WEB_THREADS"] + 1, "a waiting request holds a thread"
    names = [each.name for each in threading.enumerate() if each not in before]
    assert sum(name.startswith("request-") for name in names) <= settings.AIFEATURE["WEB_THREADS"]


@pytest.mark.parametrize(
    ("query", "to"),
    [("wait=30", Status.NEEDS_APPROVAL), ("wait=30&seen=queued", Status.RUNNING)],
)
def test_answers_when_there_is_news(ada: User, small_pool: None, query: str, to: Status) -> None:
    row, client = job(ada), client_of(ada)
    connection.close()

    async def scene() -> httpx2.Response:
        async with client:
            poll = asyncio.create_task(client.get(f"/jobs/{row.id}?{query}"))
            await until(lambda: waiting_now() == 1)
            await sync_to_async(move)(row, to)
            async with asyncio.timeout(BOUND_S):
                response = await poll
        assert waiting_now() == 0
        return response

    response = asyncio.run(scene())
    assert response.json()["status"] == to
    assert response.headers["cache-control"] == "no-store"


def test_answers_with_the_job_as_it_is_when_the_time_is_over(ada: User, small_pool: None) -> None:
    row, client = job(ada, Status.RUNNING), client_of(ada)
    connection.close()

    async def scene() -> httpx2.Response:
        async with client:
            return await client.get(f"/jobs/{row.id}?wait=0.3&seen=running")

    started = time.monotonic()
    response = asyncio.run(scene())
    assert time.monotonic() - started >= 0.3
    assert (response.status_code, response.json()["status"]) == (200, "running")


def test_a_client_that_hangs_up_leaves_nothing_behind(ada: User, small_pool: None) -> None:
    row, client = job(ada), client_of(ada)
    connection.close()

    async def scene() -> None:
        async with client:
            poll = asyncio.create_task(hang_up_while_waiting(client, f"/api/v1/jobs/{row.id}"))
            await asyncio.wait_for(poll, BOUND_S)
            assert waiting_now() == 0
            await until(lambda: waiting.watch()._task is None)
            assert (await client.get(f"/jobs/{row.id}")).status_code == 200

    asyncio.run(scene())


def test_a_stopping_process_answers_its_long_polls_at_once(ada: User, small_pool: None) -> None:
    row, client = job(ada), client_of(ada)
    connection.close()

    async def scene() -> None:
        async with client:
            poll = asyncio.create_task(client.get(f"/jobs/{row.id}?wait=30"))
            await until(lambda: waiting_now() == 1)
            stopping.begin(asyncio.get_running_loop())
            async with asyncio.timeout(BOUND_S):
                assert (await poll).json()["status"] == "queued"
                assert (await client.get(f"/jobs/{row.id}?wait=30")).status_code == 200

    asyncio.run(scene())


def test_a_database_outage_has_retry_after(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: Any) -> None:
        raise OperationalError

    row, client = job(ada), bearer(ada)
    monkeypatch.setattr("aifeature.services.jobs.get", away)
    response = client.get(f"/api/v1/jobs/{row.id}?wait=1")
    assert response.status_code == 503
    assert response.json()["code"] == "database_unavailable"
    assert int(response["Retry-After"]) > 0


class Source:
    """The states of jobs as a test sets them, and the ids of each read."""

    def __init__(self) -> None:
        self.states: dict[UUID, JobState] = {}
        self.asked: list[set[UUID]] = []
        self.away = False

    def __call__(self, jobs: Iterable[UUID]) -> Mapping[UUID, JobState]:
        self.asked.append(set(jobs))
        if self.away:
            raise OperationalError
        return self.states


def test_one_read_serves_all_waiting_requests() -> None:
    source = Source()
    ids = [uuid4() for _ in range(200)]
    source.states = dict.fromkeys(ids, JobState(Status.SUCCEEDED, 1))

    async def scene() -> None:
        watch = waiting.StatusWatch(read=source, tick_s=0)
        await asyncio.gather(
            *(watch.until(i, lambda status: status == "succeeded", timeout_s=10) for i in ids)
        )

    asyncio.run(scene())
    assert source.asked == [set(ids)]


def test_an_outage_while_waiting_is_sat_out() -> None:
    source = Source()
    source.away = True
    job_id = uuid4()

    async def scene() -> None:
        watch = waiting.StatusWatch(read=source, tick_s=0)
        poll = asyncio.create_task(watch.until(job_id, lambda _: True, timeout_s=BOUND_S))
        await until(lambda: len(source.asked) > 2)
        assert not poll.done()
        source.states = {job_id: JobState(Status.SUCCEEDED, 1)}
        source.away = False
        await asyncio.wait_for(poll, BOUND_S)

    asyncio.run(scene())


def test_a_job_that_is_gone_is_not_waited_for() -> None:
    async def scene() -> None:
        watch = waiting.StatusWatch(read=Source(), tick_s=0)
        await asyncio.wait_for(watch.until(uuid4(), lambda _: False, timeout_s=60), BOUND_S)

    asyncio.run(scene())


def test_the_watch_starts_again_after_it_had_nothing_to_do() -> None:
    source = Source()

    async def scene() -> None:
        watch = waiting.StatusWatch(read=source, tick_s=0)
        for _ in range(3):
            await asyncio.wait_for(watch.until(uuid4(), lambda _: True, timeout_s=60), BOUND_S)
            await until(lambda: watch._task is None)

    asyncio.run(scene())
    assert len(source.asked) == 3


def test_the_sync_client_can_wait_in_each_of_its_loops(ada: User) -> None:
    """The test client, and WSGI, run the view in a loop of its own."""
    client: Client = bearer(ada)
    row = job(ada)
    for _ in range(2):
        response = client.get(f"/api/v1/jobs/{row.id}?wait=0.05")
        assert response.json()["status"] == "queued"
