"""PostgreSQL crashes and comes back: responses to clients, and the jobs of workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from project.stack.signals import wait_until
from tests.chaos.faults.system import (
    BOUND_S,
    INPUT,
    LIMIT_S,
    Site,
    System,
    is_unavailable,
    running_site,
    statuses,
)
from tests.held import FIRST_S, held

LEASE_S = 60
"""Lease of a run that outlasts an outage: longer than a slow machine needs to start PostgreSQL."""

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(LIMIT_S)]

ANSWER_S = 15.0
"""Longest time until a response begins. It is below the `wait` of a long poll."""

LONG_POLL_S = 30

SHORT_POLL_S = 10
"""Long enough for PostgreSQL to end while the poll waits."""

CLIENTS = 30
"""More than a process has connections."""


@pytest.fixture(scope="module")
def site(django_db_setup: None) -> Iterator[Site]:
    """A site in which a request that waits for the pool's time-out gets no response in time."""
    with running_site(DJANGO_SETTINGS_MODULE="tests.chaos.faults.patient_pool") as found:
        found.client.timeout = ANSWER_S
        yield found


@pytest.fixture(autouse=True)
def _no_waiting_jobs(site: Site) -> None:
    site.cancel_waiting_jobs()


@pytest.fixture
def job(site: Site) -> str:
    """A queued job: no worker runs yet."""
    return site.accepted_job()


def wait_for_poll(site: Site, since: datetime) -> None:
    """Wait until a request waits for a job: the site reads its state again and again meanwhile."""
    reads = (
        "SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND query LIKE '%%FROM aifeature_job WHERE id = ANY(%%' AND query_start > %s"
    )
    assert wait_until(lambda: bool(site.sql(reads, since)), timeout_s=BOUND_S)


def database_time(site: Site) -> datetime:
    (found,) = site.sql("SELECT clock_timestamp()")[0]
    assert isinstance(found, datetime)
    return found


def test_without_postgres_every_request_is_answered_without_waiting(site: Site, job: str) -> None:
    submissions = "/api/v1/features/summarize/jobs"
    site.submit_many(CLIENTS)  # opens connections
    site.system.kill_postgres()
    try:
        for method, path in (
            ("POST", submissions),
            ("GET", f"/api/v1/jobs/{job}"),
            ("GET", f"/api/v1/jobs/{job}?wait={LONG_POLL_S}"),  # its token cannot be checked
            ("GET", f"/api/v1/jobs/{job}/events"),
            ("GET", "/api/v1/jobs"),
            ("POST", f"/api/v1/jobs/{job}/cancel"),
        ):
            body = INPUT if path == submissions else None
            for _ in range(2):
                assert is_unavailable(site.client.request(method, path, json=body)), path
        for path in ("/", "/jobs/", "/admin/"):
            page = site.client.get(path, headers={"Cookie": f"sessionid={'a' * 32}"})
            assert page.status_code == 503, path
            assert "Temporarily unavailable" in page.text
            assert int(page.headers["retry-after"]) > 0
        assert site.client.get("/healthz").status_code == 200, "the process itself is healthy"
        # A response of /readyz is reused for a second.
        assert wait_until(lambda: site.readiness() == (503, "down"), timeout_s=BOUND_S)
    finally:
        site.system.start_postgres()


def test_a_long_poll_that_waits_is_answered_when_its_time_is_over(site: Site, job: str) -> None:
    began = database_time(site)
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(site.client.get, f"/api/v1/jobs/{job}", params={"wait": SHORT_POLL_S})
        wait_for_poll(site, began)
        site.system.kill_postgres()
        try:
            assert not poll.done()
            assert is_unavailable(poll.result())
        finally:
            site.system.start_postgres()


def test_after_a_crash_no_request_gets_an_old_connection(site: Site) -> None:
    for _ in range(2):
        site.submit_many(CLIENTS)  # opens connections
        site.system.kill_postgres()
        site.system.start_postgres()
        assert statuses(site.submit_many(CLIENTS)) == {202}


def test_after_a_long_outage_the_first_request_succeeds(site: Site, job: str) -> None:
    site.system.kill_postgres()
    for _ in range(4):
        assert statuses(site.submit_many(10)) == {503}
        time.sleep(0.5)  # a pool that doubled its pauses would now make one of seconds
    site.system.start_postgres()
    assert site.client.get(f"/api/v1/jobs/{job}").status_code == 200


def test_a_run_and_its_readers_outlast_the_outage(site: Site) -> None:
    """The answer that came meanwhile is stored and paid once; streams and long polls get it."""
    events: list[str] = []
    polled: list[dict[str, Any]] = []

    def read() -> None:
        with site.client.stream("GET", url + "/events", timeout=BOUND_S) as response:
            events.extend(line for line in response.iter_lines() if line.startswith("event:"))

    def poll() -> None:
        while not polled or polled[-1]["status"] == 503:  # an outage may outlast its wait
            found = site.client.get(url, params={"wait": LONG_POLL_S}, timeout=BOUND_S)
            polled.append(found.json())
            time.sleep(0.1)

    site.sandbox.set_faults({"kind": "slow_first_byte", "seconds": FIRST_S})
    with held() as calls, site.system.worker(LEASE_SECONDS=str(LEASE_S)) as worker:
        job = site.accepted_job()
        url = f"/api/v1/jobs/{job}"
        began = database_time(site)
        threads = [threading.Thread(target=poll), threading.Thread(target=read)]
        threads[0].start()
        wait_for_poll(site, began)
        threads[1].start()
        System.until(lambda: events and site.sandbox.calls(), worker)
        site.system.kill_postgres()
        calls.let_go(FIRST_S)
        site.sandbox.ended_calls(limit_s=BOUND_S)
        time.sleep(0.5)  # the worker cannot store the answer now
        site.system.start_postgres()
        for thread in threads:
            thread.join(BOUND_S)
    assert events[-1] == "event: result"
    assert polled[-1]["status"] == "succeeded"
    assert site.row(job) == ("succeeded", 1, 1, 0)
    assert len(site.sandbox.calls()) == 1
