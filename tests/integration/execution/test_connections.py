"""A thread holds at most one database connection, and none during a provider call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper

from aifeature.models import Job, transitions
from aifeature.services.controls import effective
from aifeature.services.execution import job_run
from aifeature.services.jobs import admission
from tests.integration.execution.conftest import PATIENCE_S, wait_for
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("committed", "opened", "pool_of_two")

CALLS = 20
A_MOMENT_S = 0.5


@pytest.fixture
def pool_of_two(committed: None) -> Iterator[None]:
    """Cut the pool of the process to two connections."""
    wrapper = cast("DatabaseWrapper", connections["default"])
    options = wrapper.settings_dict["OPTIONS"]
    before = options["pool"]

    def reopen(pool: dict[str, float]) -> None:
        wrapper.close()
        wrapper.close_pool()
        options["pool"] = pool

    reopen({"max_size": 2, "timeout": PATIENCE_S})
    yield
    reopen(before)


def test_many_calls_need_few_connections(make_job: MakeJob, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "slow_first_byte"})
    jobs = [make_job() for _ in range(CALLS)]
    connection.close()

    def run(job: Job) -> None:
        job_run.run_feature(job.pk, worker="test")
        assert connection.connection is None, "a connection was kept"

    with ThreadPoolExecutor(CALLS) as threads:
        outcomes = [threads.submit(run, job) for job in jobs]
        wait_for(lambda: len(sandbox.calls()) == CALLS)
        in_flight = sum(call["ended_at"] is None for call in sandbox.calls())
        for job in jobs:
            transitions.cancel(job.pk, user_id=job.user_id, message="Enough.")
            connection.close()
        for outcome in outcomes:
            outcome.result()
    assert in_flight == CALLS
    assert set(Job.objects.values_list("status", flat=True)) == {"cancelled"}


def test_a_thread_needs_no_second_connection(make_job: MakeJob) -> None:
    job = make_job()
    connection.close()
    all_hold_one = threading.Barrier(2)

    def read_and_cancel(message: str) -> str | None:
        assert Job.objects.filter(pk=job.pk).exists()
        assert connection.connection is not None
        all_hold_one.wait(PATIENCE_S)
        status = transitions.cancel(job.pk, user_id=job.user_id, message=message)
        assert connection.connection is None, "a connection was kept"
        return status

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(read_and_cancel, ("Once.", "Twice."))) == ["cancelled"] * 2


def test_a_blocking_function_is_refused_in_an_event_loop(make_job: MakeJob) -> None:
    async def cancel() -> None:
        transitions.cancel(job.pk, user_id=job.user_id, message="Enough.")

    job = make_job()
    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(cancel())


@pytest.mark.parametrize(
    "read",
    [effective.cache.all, lambda: admission.loads.get("summarize")],
    ids=["controls", "load"],
)
def test_a_reader_for_all_waits_for_no_waiter(read: Callable[[], object]) -> None:
    """One thread without a connection and two with all of them read a stale cache."""
    connection.close()
    effective.cache.clear()
    admission.loads.clear()
    all_are_taken = threading.Barrier(3)

    def read_with_one() -> None:
        connection.ensure_connection()
        all_are_taken.wait(PATIENCE_S)
        threading.Event().wait(A_MOMENT_S)  # the other one reads first
        read()
        connection.close()

    def read_without() -> None:
        all_are_taken.wait(PATIENCE_S)
        read()
        assert connection.connection is None, "a connection was kept"

    with ThreadPoolExecutor(3) as threads:
        reads = [threads.submit(each) for each in (read_with_one, read_with_one, read_without)]
        for each in reads:
            each.result()
