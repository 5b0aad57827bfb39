"""PostgreSQL responds and refuses: read-only mode, too many connections, a cancelled statement."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx2
import psycopg
import pytest

from project.stack.signals import wait_until
from tests.chaos.faults.system import (
    BOUND_S,
    LIMIT_S,
    Site,
    System,
    is_unavailable,
    running_site,
    statuses,
)
from tests.held import FIRST_S, held

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(LIMIT_S)]

CLIENTS = 20
LEASE_S = 6


@pytest.fixture(scope="module")
def site(django_db_setup: None) -> Iterator[Site]:
    with running_site() as found:
        yield found


@pytest.fixture(autouse=True)
def _no_waiting_jobs(site: Site) -> Iterator[None]:
    yield
    site.cancel_waiting_jobs()


@contextmanager
def only_reading(site: Site) -> Iterator[None]:
    """Make the server read-only, for open sessions too: they notice at their next statement."""
    set_to = "ALTER SYSTEM SET default_transaction_read_only = {}"
    site.sql(set_to.format("on"))
    site.sql("SELECT pg_reload_conf()")
    try:
        # Each session reads the settings again by itself.
        assert wait_until(lambda: site.submit().status_code != 202, timeout_s=BOUND_S)
        yield
    finally:
        site.sql(set_to.format("off"))
        site.sql("SELECT pg_reload_conf()")


def test_a_read_only_server_refuses_writes_and_serves_reads(site: Site) -> None:
    job = site.submit_many(CLIENTS)[0].json()["id"]
    with only_reading(site):
        assert all(map(is_unavailable, site.submit_many(CLIENTS)))
        assert is_unavailable(site.client.post(f"/api/v1/jobs/{job}/cancel"))
        for path in (f"/api/v1/jobs/{job}", "/api/v1/jobs", "/api/v1/features", "/healthz"):
            assert site.client.get(path).status_code == 200, path
        page = site.client.post("/accounts/login/", data={"username": "x", "password": "y"})
        assert page.status_code in {403, 503}, "no page breaks"
        assert wait_until(lambda: site.readiness() == (503, "read_only"), timeout_s=BOUND_S)
    assert wait_until(lambda: site.submit().status_code == 202, timeout_s=BOUND_S)
    assert wait_until(lambda: site.readiness() == (200, "ok"), timeout_s=BOUND_S)
    assert statuses(site.submit_many(CLIENTS)) == {202}


def test_connections_to_a_demoted_server_are_replaced(site: Site) -> None:
    """A setting of the role lasts as long as a session: only a new connection may write again."""
    (user,) = site.sql("SELECT current_user")[0]
    site.sql(f'ALTER ROLE "{user}" SET default_transaction_read_only = on')
    try:
        site.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert wait_until(
            lambda: all(map(is_unavailable, site.submit_many(CLIENTS))), timeout_s=BOUND_S
        )
    finally:
        site.sql(f'ALTER ROLE "{user}" RESET default_transaction_read_only')
    assert wait_until(
        lambda: statuses(site.submit_many(CLIENTS)) == {202},
        timeout_s=BOUND_S,
    )


def test_a_finished_answer_is_kept_while_the_server_is_read_only(site: Site) -> None:
    """The outage is longer than a lease. Other workers would take the job over afterwards."""
    with held() as calls, ExitStack() as exits:
        lease = {"LEASE_SECONDS": str(LEASE_S)}
        worker = exits.enter_context(site.system.worker(**lease))
        control = exits.enter_context(site.system.worker("control", **lease))
        site.sandbox.reset()
        site.sandbox.set_faults({"kind": "slow_first_byte", "seconds": FIRST_S})
        job = site.accepted_job()
        System.until(site.sandbox.calls, worker)
        with only_reading(site):
            calls.let_go(FIRST_S)
            site.sandbox.ended_calls(limit_s=BOUND_S)
            expired = (
                "SELECT 1 FROM aifeature_job"
                " WHERE id = %s AND lease_until < statement_timestamp() - interval '2 seconds'"
            )
            System.until(lambda: site.sql(expired, job), worker)
        # A worker may take it over as soon as writes are possible again.
        System.until(lambda: site.row(job)[0] not in {"running", "queued"}, worker)
        assert site.row(job) == ("succeeded", 1, 1, 0)
        assert len(site.sandbox.calls()) == 1
        for child in (worker, control):
            assert child.process.poll() is None


def test_requests_without_a_connection_may_be_retried(site: Site) -> None:
    taken: list[psycopg.Connection[Any]] = []

    def crowded() -> bool:
        """Take every free connection, also those that the site has given back meanwhile."""
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(site.system.servers.env["DATABASE_URL"]))
        return site.readiness() == (503, "no_connections")

    try:
        # A response of /readyz is reused for a second.
        assert wait_until(crowded, timeout_s=BOUND_S)
        answers = site.submit_many(CLIENTS)
        assert statuses(answers) <= {202, 503}
        assert all(is_unavailable(each) for each in answers if each.status_code != 202)
    finally:
        for connection in taken:
            connection.close()
    assert wait_until(lambda: site.submit().status_code == 202, timeout_s=BOUND_S)
    assert wait_until(lambda: site.readiness() == (200, "ok"), timeout_s=BOUND_S)


def test_a_request_whose_statement_is_cancelled_may_be_retried(site: Site) -> None:
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
