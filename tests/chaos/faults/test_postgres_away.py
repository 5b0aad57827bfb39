"""PostgreSQL ends at once, as in a crash, and comes back: what clients see, what workers keep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest

from project.stack.signals import wait_until
from tests.chaos.faults.system import BOUND_S, LIMIT_S, System, system
from tests.sandbox_server import SandboxServer, running_sandbox

FAST_S = 9.0
"""An answer takes milliseconds. A machine that is busy takes longer, and who waits for a pool
that has given up takes ten seconds."""

LEASE_S = 60
"""Of a run that outlasts an outage: longer than a slow machine needs to start PostgreSQL again."""

pytestmark = pytest.mark.timeout(LIMIT_S)

INPUT = {"input": {"document": "Refunds are paid within 30 days."}}
CLIENTS = 30
"""More than a process has connections."""


@dataclass
class Site:
    system: System
    sandbox: SandboxServer
    client: httpx2.Client

    def submit(self) -> httpx2.Response:
        return self.client.post("/api/v1/features/summarize/jobs", json=INPUT)

    def row(self, job: str) -> tuple[str, int, int]:
        """Status, provider calls, tries."""
        url = self.system.servers.env["DATABASE_URL"]
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT status, attempts, tries FROM aifeature_job WHERE id = %s", [job]
            ).fetchone()
        assert row is not None
        return row


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_sandbox() as sandbox, system(sandbox) as found, found.client() as client:
        yield Site(found, sandbox, client)


@pytest.fixture(autouse=True)
def _nothing_waits(site: Site) -> None:
    with psycopg.connect(site.system.servers.env["DATABASE_URL"]) as connection:
        connection.execute(
            "SELECT aif_cancel(id, user_id, 'Over.') FROM aifeature_job WHERE status = 'queued'"
        )


@pytest.fixture
def job(site: Site) -> str:
    """A job that waits: no worker runs yet."""
    response = site.submit()
    assert response.status_code == 202
    return str(response.json()["id"])


@pytest.fixture
def away(site: Site, job: str) -> Iterator[None]:
    """PostgreSQL is gone while the test runs; connections to it were open before."""
    many(site, CLIENTS)
    site.system.kill_postgres()
    yield
    site.system.start_postgres()


def many(site: Site, count: int) -> list[tuple[int, float]]:
    """Submit at the same time; status and seconds of each."""

    def one(_: int) -> tuple[int, float]:
        began = time.monotonic()
        return site.submit().status_code, time.monotonic() - began

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_the_api_says_so_at_once_and_when_to_come_back(site: Site, job: str, away: None) -> None:
    asks: dict[str, Callable[[], httpx2.Response]] = {
        "submit": site.submit,
        "poll": lambda: site.client.get(f"/api/v1/jobs/{job}"),
        "long poll": lambda: site.client.get(f"/api/v1/jobs/{job}?wait=30"),
        "stream": lambda: site.client.get(f"/api/v1/jobs/{job}/events"),
        "history": lambda: site.client.get("/api/v1/jobs"),
        "cancel": lambda: site.client.post(f"/api/v1/jobs/{job}/cancel"),
    }
    for name, ask in asks.items():
        for _ in range(2):
            began = time.monotonic()
            response = ask()
            assert time.monotonic() - began < FAST_S, name
            assert response.status_code == 503, name
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["code"] == "database_unavailable"
            assert int(response.headers["retry-after"]) > 0


def test_pages_say_so_at_once(site: Site, away: None) -> None:
    began = time.monotonic()
    for path in ("/", "/jobs/", "/admin/"):
        response = site.client.get(path, headers={"Cookie": f"sessionid={'a' * 32}"})
        assert response.status_code == 503, path
        assert "Temporarily unavailable" in response.text
        assert int(response.headers["retry-after"]) > 0
    assert time.monotonic() - began < FAST_S


def test_probes_tell_the_process_from_the_database(site: Site, away: None) -> None:
    assert site.client.get("/healthz").status_code == 200

    def readiness() -> tuple[int, str]:
        response = site.client.get("/readyz")
        return response.status_code, str(response.json()["checks"]["database"])

    # The answer of before may hold for a second.
    assert wait_until(lambda: readiness() == (503, "down"), timeout_s=BOUND_S)


def test_after_a_crash_no_request_meets_an_old_connection(site: Site) -> None:
    for _ in range(2):
        many(site, CLIENTS)  # each has a connection of its own now
        site.system.kill_postgres()
        site.system.start_postgres()
        answers = many(site, CLIENTS)
        assert {status for status, _ in answers} == {202}
        assert max(seconds for _, seconds in answers) < FAST_S


def test_after_an_outage_the_first_request_is_answered(site: Site, job: str) -> None:
    """Also after a long one: nothing waits for the next look of a reconnecting thread."""
    site.system.kill_postgres()
    for _ in range(4):
        assert {status for status, _ in many(site, 10)} == {503}
        time.sleep(0.5)  # a pool that doubled its pauses would now make one of seconds
    site.system.start_postgres()
    began = time.monotonic()
    assert site.client.get(f"/api/v1/jobs/{job}").status_code == 200
    assert time.monotonic() - began < FAST_S


def test_a_run_and_its_readers_outlast_the_outage(site: Site) -> None:
    """The answer that came meanwhile is stored and paid once; streams and long polls get it."""
    events: list[str] = []
    polled: list[dict[str, Any]] = []

    def read() -> None:
        with site.client.stream("GET", f"/api/v1/jobs/{job}/events") as response:
            events.extend(line for line in response.iter_lines() if line.startswith("event:"))

    def poll() -> None:
        while not polled or polled[-1]["status"] == 503:  # it may begin just too late
            polled.append(site.client.get(f"/api/v1/jobs/{job}?wait=30").json())
            time.sleep(0.1)

    site.sandbox.set_faults({"kind": "slow_first_byte", "seconds": 1.0})
    with site.system.worker(LEASE_SECONDS=str(LEASE_S)) as worker:
        job = str(site.submit().json()["id"])
        threads = [threading.Thread(target=read), threading.Thread(target=poll)]
        for thread in threads:
            thread.start()
        System.until(lambda: events and site.sandbox.calls(), worker)
        site.system.kill_postgres()
        time.sleep(1.5)  # the answer comes while nobody can take it
        site.system.start_postgres()
        for thread in threads:
            thread.join(BOUND_S)
    assert events[-1] == "event: result"
    assert polled[-1]["status"] == "succeeded"
    assert site.row(job) == ("succeeded", 1, 0)
    assert len(site.sandbox.calls()) == 1
