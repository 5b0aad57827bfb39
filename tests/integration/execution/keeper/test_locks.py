"""Despite locks, a pulled switch ends every call, and leases go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.models import F
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import FeatureControl, Job
from aifeature.services.execution import calls
from aifeature.services.execution.lease import LeaseKeeper
from aifeature.spec import Purpose
from tests.integration.execution.conftest import PATIENCE_S, wait_for
from tests.integration.execution.keeper.conftest import (
    GLOBAL_WINDOW,
    LEASE_S,
    ROW,
    TABLE,
    WORKER,
    Runs,
    locked,
    other_session,
)
from tests.integration.execution.test_account import a_request
from tests.integration.execution.test_gated import HAIKU
from tests.integration.job_rows import MakeJob, age, claim
from tests.sandbox_server import SandboxServer
from workers.inference import Cancel, Cancelled

pytestmark = pytest.mark.usefixtures("committed")


@contextmanager
def pool_taken(_: Job) -> Iterator[None]:
    """Take every connection of the pool of the process."""
    connection.close()
    pool = connection.pool  # type: ignore[attr-defined]  # not in the stubs
    with ExitStack() as exits:
        for _each in range(pool._max_size):
            exits.callback(pool.putconn, pool.getconn())
        yield


LOCKS: dict[str, Callable[[Job], object]] = {
    "row": lambda job: locked(ROW, job.pk),
    "window": lambda _: locked(GLOBAL_WINDOW),
    "all jobs": lambda _: locked(TABLE.format("job")),
    "all workers": lambda _: locked(TABLE.format("worker")),
    "pool": pool_taken,
}


@pytest.mark.parametrize("what", LOCKS)
def test_a_switch_ends_calls_despite_a_lock(
    beating: LeaseKeeper, runs: Runs, sandbox: SandboxServer, what: str
) -> None:
    FeatureControl.objects.get_or_create(feature="summarize")
    beating.appear(WORKER, queue="llm", slots=4)
    jobs = runs.in_flight(4)
    with LOCKS[what](jobs[0]):  # type: ignore[attr-defined]  # context managers, all of them
        with other_session() as person:
            person.execute("UPDATE aifeature_featurecontrol SET killed = true")
        wait_for(lambda: all(call["ended_at"] is not None for call in sandbox.calls()))
    runs.ended()
    for job in Job.objects.all():
        assert (job.status, job.wait_reason, job.tries) == ("queued", "feature_paused", 0)
    assert len(sandbox.calls()) == len(jobs), "a call was made twice"


@pytest.mark.parametrize("table", ["attempt", "job"])
def test_a_switch_ends_a_jobless_call_despite_a_lock(
    beating: LeaseKeeper, sandbox: SandboxServer, table: str
) -> None:
    FeatureControl.objects.get_or_create(feature="summarize")
    sandbox.set_faults({"kind": "slow_first_byte"})
    feature, prompt = registry.get("summarize"), prompts.get("summarize", "v3")
    reasons: list[str] = []
    ended = threading.Event()

    def judge() -> None:
        try:
            calls.call(feature, a_request(HAIKU), purpose=Purpose.JUDGE, prompt=prompt)
        except Cancelled as error:
            reasons.append(error.reason)
        finally:
            connections.close_all()
            ended.set()

    threading.Thread(target=judge).start()
    wait_for(lambda: bool(sandbox.calls()))
    with locked(TABLE.format(table)):
        FeatureControl.objects.update(killed=True)
        wait_for(lambda: sandbox.calls()[0]["ended_at"] is not None)
    assert ended.wait(PATIENCE_S)
    assert reasons == ["paused"]


def test_a_locked_row_delays_no_other_lease(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    jobs = [make_job() for _ in range(3)]
    with ExitStack() as exits:
        for job in jobs:
            exits.enter_context(keeper.hold(claim(job), Cancel()))
        Job.objects.update(lease_until=Now() + timedelta(seconds=1))
        with locked(ROW, jobs[0].pk):
            keeper.beat()
            assert _fresh() == {jobs[1].pk, jobs[2].pk}
        keeper.beat()
        assert _fresh() == {job.pk for job in jobs}, "the rest at the next beat"


def test_a_lease_is_written_after_a_third(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    job = make_job()
    with keeper.hold(claim(job), Cancel()):
        fresh = _version(job)
        keeper.beat()
        assert _version(job) == fresh
        Job.objects.update(lease_until=Now() + timedelta(seconds=LEASE_S * 2 / 3 - 1))
        used = _version(job)
        keeper.beat()
        assert _version(job) != used
        age(job, deadline_at=timedelta(seconds=LEASE_S / 2))
        Job.objects.update(lease_until=F("deadline_at") + timedelta(seconds=LEASE_S))
        at_its_limit = _version(job)
        keeper.beat()
        assert _version(job) == at_its_limit


def _version(job: Job) -> object:
    """Return a value that each write of the row changes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin, ctid FROM aifeature_job WHERE id = %s", [job.pk])
        return cursor.fetchone()


def test_a_locked_row_delays_no_other_cancellation(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    mine, other = make_job(), make_job()
    cancel, lives = Cancel(), Cancel()
    with keeper.hold(claim(mine), cancel), keeper.hold(claim(other), lives):
        Job.objects.filter(pk=mine.pk).update(cancel_requested_at=Now())
        with locked(ROW, other.pk):
            keeper.beat()
    assert (cancel.reason, lives.reason) == ("user", None)


def _fresh() -> set[object]:
    """Return the jobs whose lease was extended."""
    found = Job.objects.filter(lease_until__gt=Now() + timedelta(seconds=5))
    return set(found.values_list("pk", flat=True))
