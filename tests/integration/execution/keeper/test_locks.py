"""Whatever somebody has locked: a pulled switch ends every call, and leases go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, connections
from django.db.models import F
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import FeatureControl, Job
from aifeature.services.execution import calls
from aifeature.services.execution.lease import LeaseKeeper
from aifeature.spec import Purpose
from tests.integration.execution.keeper.conftest import (
    LEASE_S,
    PATIENCE_S,
    WORKER,
    Runs,
    locked,
    other_session,
    wait_for,
)
from tests.integration.job_rows import MakeJob, age, claim
from tests.sandbox_server import SandboxServer
from workers.inference import Cancel, Cancelled, InferenceRequest, Message, TextBlock

pytestmark = pytest.mark.usefixtures("committed")


@contextmanager
def pool_taken(_: Job) -> Iterator[None]:
    """Every connection of the process's pool is in use."""
    connection.close()
    pool = connection.pool  # type: ignore[attr-defined]  # not in the stubs
    with ExitStack() as exits:
        for _each in range(pool._max_size):
            exits.callback(pool.putconn, pool.getconn())
        yield


LOCKS: dict[str, Callable[[Job], object]] = {
    "row": lambda job: locked("SELECT 1 FROM aifeature_job WHERE id = %s FOR UPDATE", job.pk),
    "window": lambda _: locked(
        "SELECT 1 FROM aifeature_spendwindow WHERE scope = 'global' FOR UPDATE"
    ),
    "all jobs": lambda _: locked("LOCK TABLE aifeature_job IN ACCESS EXCLUSIVE MODE"),
    "all workers": lambda _: locked("LOCK TABLE aifeature_worker IN ACCESS EXCLUSIVE MODE"),
    "pool": pool_taken,
}


@pytest.mark.parametrize("what", LOCKS)
def test_a_pulled_switch_ends_every_call_while_something_is_locked(
    beating: LeaseKeeper, runs: Runs, sandbox: SandboxServer, what: str
) -> None:
    FeatureControl.objects.create(feature="summarize")
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


@pytest.mark.parametrize("table", ["aifeature_attempt", "aifeature_job"])
def test_a_pulled_switch_ends_a_call_of_no_job_while_a_table_is_locked(
    beating: LeaseKeeper, sandbox: SandboxServer, table: str
) -> None:
    FeatureControl.objects.create(feature="summarize")
    sandbox.set_faults({"kind": "slow_first_byte"})
    reasons: list[str] = []
    ended = threading.Event()

    def judge() -> None:
        try:
            _call()
        except Cancelled as error:
            reasons.append(error.reason)
        finally:
            connections.close_all()
            ended.set()

    threading.Thread(target=judge).start()
    wait_for(lambda: bool(sandbox.calls()))
    with locked(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"):
        FeatureControl.objects.update(killed=True)
        wait_for(lambda: sandbox.calls()[0]["ended_at"] is not None)
    assert ended.wait(PATIENCE_S)
    assert reasons == ["paused"]


def test_a_locked_row_keeps_no_other_lease_from_being_extended(
    keeper: LeaseKeeper, make_job: MakeJob
) -> None:
    jobs = [make_job() for _ in range(3)]
    with ExitStack() as exits:
        for job in jobs:
            exits.enter_context(keeper.hold(claim(job), Cancel()))
        Job.objects.update(lease_until=Now() + timedelta(seconds=1))
        with locked("SELECT 1 FROM aifeature_job WHERE id = %s FOR UPDATE", jobs[0].pk):
            keeper.beat()
            assert _fresh() == {jobs[1].pk, jobs[2].pk}
        keeper.beat()
        assert _fresh() == {job.pk for job in jobs}, "the rest at the next beat"


def test_a_lease_is_written_when_a_third_of_it_is_used_up_and_never_at_its_limit(
    keeper: LeaseKeeper, make_job: MakeJob
) -> None:
    """A beat that has nothing to extend writes no row."""
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
    """Another one after each write of its row."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin, ctid FROM aifeature_job WHERE id = %s", [job.pk])
        return cursor.fetchone()


def test_a_user_cancels_while_another_row_is_locked(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    mine, other = make_job(), make_job()
    cancel, lives = Cancel(), Cancel()
    with keeper.hold(claim(mine), cancel), keeper.hold(claim(other), lives):
        Job.objects.filter(pk=mine.pk).update(cancel_requested_at=Now())
        with locked("SELECT 1 FROM aifeature_job WHERE id = %s FOR UPDATE", other.pk):
            keeper.beat()
    assert (cancel.reason, lives.reason) == ("user", None)


def _fresh() -> set[object]:
    """The jobs whose lease is new."""
    found = Job.objects.filter(lease_until__gt=Now() + timedelta(seconds=5))
    return set(found.values_list("pk", flat=True))


def _call() -> None:
    request = InferenceRequest(
        attempt_id=uuid4(),
        model="claude-haiku-5-5",
        system=(TextBlock("Score the answer."),),
        messages=(Message("user", (TextBlock("The refund is paid within 30 days."),)),),
        max_tokens=200,
        output_schema=registry.get("summarize").output_schema,
        stream=False,
        deadline_s=300.0,
    )
    prompt = prompts.get("summarize", "v3")
    calls.call(registry.get("summarize"), request, purpose=Purpose.JUDGE, prompt=prompt)
