"""PostgreSQL answers and refuses: it only reads, is crowded, or a statement is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest

from project.stack.signals import wait_until
from tests.chaos.faults.system import BOUND_S, LIMIT_S, System, system
from tests.sandbox_server import SandboxServer, running_sandbox

pytestmark = pytest.mark.timeout(LIMIT_S)

INPUT = {"input": {"document": "Refunds are paid within 30 days."}}
CLIENTS = 20
LEASE_S = 6


@dataclass
class Site:
    system: System
    sandbox: SandboxServer
    client: httpx2.Client

    def submit(self) -> httpx2.Response:
        return self.client.post("/api/v1/features/summarize/jobs", json=INPUT)

    def many(self) -> list[httpx2.Response]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(lambda _: self.submit(), range(CLIENTS)))

    def readiness(self) -> tuple[int, str]:
        answer = self.client.get("/readyz")
        return answer.status_code, str(answer.json()["checks"]["database"])

    def sql(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self.operator() as connection:
            cursor = connection.execute(query.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def operator(self) -> psycopg.Connection[Any]:
        """Somebody who may write whatever the default is."""
        return psycopg.connect(
            self.system.servers.env["DATABASE_URL"],
            options="-c default_transaction_read_only=off",
            autocommit=True,
        )


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_sandbox() as sandbox, system(sandbox) as found, found.client() as client:
        yield Site(found, sandbox, client)


@pytest.fixture(autouse=True)
def _nothing_waits(site: Site) -> Iterator[None]:
    yield
    site.sql("SELECT aif_cancel(id, user_id, 'Over.') FROM aifeature_job WHERE status = 'queued'")


@contextmanager
def only_reading(site: Site) -> Iterator[None]:
    """Also what is connected: it learns of it with its next statement."""
    set_to = "ALTER SYSTEM SET default_transaction_read_only = {}"
    site.sql(set_to.format("on"))
    site.sql("SELECT pg_reload_conf()")
    try:
        # Each session reads the settings anew by itself.
        assert wait_until(lambda: site.submit().status_code != 202, timeout_s=BOUND_S)
        yield
    finally:
        site.sql(set_to.format("off"))
        site.sql("SELECT pg_reload_conf()")


def is_unavailable(answer: httpx2.Response) -> bool:
    return (
        answer.status_code == 503
        and answer.json()["code"] == "database_unavailable"
        and int(answer.headers["retry-after"]) > 0
    )


def test_a_server_that_only_reads_refuses_in_plain_words_and_shows_what_it_has(
    site: Site,
) -> None:
    job = site.many()[0].json()["id"]
    with only_reading(site):
        assert all(map(is_unavailable, site.many()))
        assert is_unavailable(site.client.post(f"/api/v1/jobs/{job}/cancel"))
        for path in (f"/api/v1/jobs/{job}", "/api/v1/jobs", "/api/v1/features", "/healthz"):
            assert site.client.get(path).status_code == 200, path
        page = site.client.post("/accounts/login/", data={"username": "x", "password": "y"})
        assert page.status_code in {403, 503}, "no page breaks"
        assert wait_until(lambda: site.readiness() == (503, "read_only"), timeout_s=BOUND_S)
    assert wait_until(lambda: site.submit().status_code == 202, timeout_s=BOUND_S)
    assert wait_until(lambda: site.readiness() == (200, "ok"), timeout_s=BOUND_S)
    assert {answer.status_code for answer in site.many()} == {202}


def test_connections_that_stay_with_a_demoted_server_are_replaced(site: Site) -> None:
    """A setting of the role holds for a session's life: only a new connection may write again."""
    (user,) = site.sql("SELECT current_user")[0]
    site.sql(f'ALTER ROLE "{user}" SET default_transaction_read_only = on')
    try:
        site.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert wait_until(lambda: all(map(is_unavailable, site.many())), timeout_s=BOUND_S)
    finally:
        site.sql(f'ALTER ROLE "{user}" RESET default_transaction_read_only')
    assert wait_until(
        lambda: {answer.status_code for answer in site.many()} == {202}, timeout_s=BOUND_S
    )


def test_a_finished_answer_is_kept_while_nothing_can_be_written(site: Site) -> None:
    """For longer than a lease; other workers wait for the job when that is over."""
    with ExitStack() as exits:
        lease = {"LEASE_SECONDS": str(LEASE_S)}
        worker = exits.enter_context(site.system.worker(**lease))
        control = exits.enter_context(site.system.worker("control", **lease))
        site.sandbox.reset()
        site.sandbox.set_faults({"kind": "slow_first_byte", "seconds": 2.0})
        job = str(site.submit().json()["id"])
        System.until(site.sandbox.calls, worker)
        with only_reading(site):
            site.sandbox.ended_calls(limit_s=BOUND_S)
            System.until(lambda: _lease_is_over(site, job), worker)
        # One that may take it over begins when writes are possible, as all others go on.
        System.until(lambda: _row(site, job)[0] not in {"running", "queued"}, worker)
        assert _row(site, job) == ("succeeded", 1, 1, 0)
        assert len(site.sandbox.calls()) == 1
        for child in (worker, control):
            assert child.process.poll() is None


def test_a_crowded_server_ends_nothing(site: Site) -> None:
    held: list[psycopg.Connection[Any]] = []

    def crowded() -> bool:
        """Takes every free connection, also one that the site gave back meanwhile."""
        with suppress(psycopg.OperationalError):
            while True:
                held.append(psycopg.connect(site.system.servers.env["DATABASE_URL"]))
        return site.readiness() == (503, "no_connections")

    try:
        # An earlier answer of readiness may hold for a second.
        assert wait_until(crowded, timeout_s=BOUND_S)
        answers = site.many()
        assert {answer.status_code for answer in answers} <= {202, 503}
        assert all(is_unavailable(each) for each in answers if each.status_code != 202)
    finally:
        for connection in held:
            connection.close()
    assert wait_until(lambda: site.submit().status_code == 202, timeout_s=BOUND_S)
    assert wait_until(lambda: site.readiness() == (200, "ok"), timeout_s=BOUND_S)


def test_a_statement_that_somebody_cancels_is_answered_with_come_back(site: Site) -> None:
    answers: list[httpx2.Response] = []
    with site.operator() as locking:
        locking.execute("BEGIN")
        locking.execute("SELECT 1 FROM auth_user FOR UPDATE")
        thread = threading.Thread(target=lambda: answers.append(site.submit()))
        thread.start()

        def cancelled() -> bool:
            return bool(
                site.sql(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                    " WHERE wait_event_type = 'Lock' AND query LIKE '%aif_submit%'"
                )
            )

        assert wait_until(cancelled, timeout_s=BOUND_S)
        thread.join(BOUND_S)
        locking.execute("ROLLBACK")
    assert is_unavailable(answers[0])
    assert site.submit().status_code == 202


def _row(site: Site, job: str) -> tuple[Any, ...]:
    """Status, epoch, provider calls and tries."""
    return site.sql("SELECT status, epoch, attempts, tries FROM aifeature_job WHERE id = %s", job)[
        0
    ]


def _lease_is_over(site: Site, job: str) -> bool:
    return bool(
        site.sql(
            "SELECT 1 FROM aifeature_job"
            " WHERE id = %s AND lease_until < statement_timestamp() - interval '2 seconds'",
            job,
        )
    )
