"""No thread holds a database connection while a provider works, and none ever two."""

from __future__ import annotations

import asyncio
import threading
import time
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
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("committed")

CALLS = 20
PATIENCE_S = 20
A_MOMENT_S = 0.5


@pytest.fixture
def pool_of_two(committed: None) -> Iterator[None]:
    """The process's pool, cut to two connections; whoever waits too long for one fails."""
    wrapper = cast("DatabaseWrapper", connections["default"])
    options = wrapper.settings_dict["OPTIONS"]
    before = options["pool"]

    def reopen(pool: dict[str, int]) -> None:
        wrapper.close()
        wrapper.close_pool()
        options["pool"] = pool

    reopen({"max_size": 2, "timeout": PATIENCE_S})
    yield
    reopen(before)


def test_many_calls_in_flight_need_few_connections(
    make_job: MakeJob, opened: None, sandbox: SandboxServer, pool_of_two: None
) -> None:
    sandbox.set_faults({"kind": "slow_first_byte"})
    jobs = [make_job() for _ in range(CALLS)]
    connection.close()

    def run(job: Job) -> None:
        job_run.run_feature(job.pk, worker="test")
        assert connection.connection is None, "a connection was kept"

    with ThreadPoolExecutor(CALLS) as threads:
        outcomes = [threads.submit(run, job) for job in jobs]
        give_up = time.monotonic() + PATIENCE_S
        while len(sandbox.calls()) < CALLS and time.monotonic() < give_up:
            time.sleep(0.02)
        max_concurrency = sum(call["ended_at"] is None for call in sandbox.calls())
        for job in jobs:
            transitions.cancel(job.pk, user_id=job.user_id, message="Enough.")
            connection.close()
        for outcome in outcomes:
            outcome.result()
    assert max_concurrency == CALLS
    assert set(Job.objects.values_list("status", flat=True)) == {"cancelled"}


def test_who_has_a_connection_needs_no_second_one(make_job: MakeJob, pool_of_two: None) -> None:
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


def test_a_function_is_not_called_where_it_would_block_all_others(make_job: MakeJob) -> None:
    async def cancel() -> None:
        transitions.cancel(job.pk, user_id=job.user_id, message="Enough.")

    job = make_job()
    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(cancel())


@pytest.mark.parametrize(
    "look",
    [effective.cache.all, lambda: admission.loads.get("summarize")],
    ids=["controls", "load"],
)
def test_who_reads_for_all_never_waits_for_those_who_wait_for_it(
    pool_of_two: None, look: Callable[[], object]
) -> None:
    """A cache is stale: one looks without a connection, and those with all the connections too."""
    connection.close()
    effective.cache.clear()
    admission.loads.clear()
    all_are_taken = threading.Barrier(3)

    def look_with_one() -> None:
        connection.ensure_connection()
        all_are_taken.wait(PATIENCE_S)
        threading.Event().wait(A_MOMENT_S)  # the other one looks first
        look()
        connection.close()

    def look_without() -> None:
        all_are_taken.wait(PATIENCE_S)
        look()
        assert connection.connection is None, "a connection was kept"

    with ThreadPoolExecutor(3) as threads:
        looks = [threads.submit(each) for each in (look_with_one, look_with_one, look_without)]
        for each in looks:
            each.result()
