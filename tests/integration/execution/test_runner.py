"""The stop of a worker process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection, connections
from django.db.models.functions import Now

from aifeature.models import Attempt, Job, Worker
from aifeature.services.execution import job_run, lease
from aifeature.services.execution.lease import LeaseKeeper
from aifeature.services.execution.runner import EXIT_CODE, Runner
from aifeature.services.execution.worker_context import WorkerContext
from tests.functions_in_thread import FunctionsInThread
from tests.integration.execution.conftest import PATIENCE_S, wait_for
from tests.integration.job_rows import MakeJob, claim
from tests.sandbox_server import SandboxServer
from workers.inference import Cancel

pytestmark = pytest.mark.usefixtures("committed", "live_prompt")

LONG_S = 3600.0


@pytest.fixture
def runner(context: WorkerContext) -> Iterator[Runner]:
    """A worker process with its own keeper, so that it stops no jobs of other tests."""
    runner = Runner(replace(context, keeper=LeaseKeeper(15)))
    runner.start(worker="llm@test", slots=4)
    yield runner
    runner.close()
    connections.close_all()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def run(runner: Runner, job: Job) -> None:
    try:
        runner.run(job.pk, worker="llm@test")
    finally:
        connection.close()


def in_flight(
    runner: Runner, job: Job, threads: ThreadPoolExecutor, sandbox: SandboxServer
) -> Future[None]:
    """Run the job in a thread until the provider has its call, which is never answered."""
    sandbox.set_faults({"kind": "slow_first_byte", "seconds": LONG_S})
    future = threads.submit(run, runner, job)
    wait_for(lambda: bool(sandbox.calls()))
    return future


def test_after_the_grace_period_a_call_is_aborted(
    runner: Runner, make_job: MakeJob, threads: ThreadPoolExecutor, sandbox: SandboxServer
) -> None:
    job = make_job(published_at=Now())
    future = in_flight(runner, job, threads, sandbox)
    began = time.monotonic()
    runner.drain(grace_s=0.3, end_s=LONG_S)
    future.result(timeout=PATIENCE_S)
    assert time.monotonic() - began >= 0.3
    job.refresh_from_db()
    assert (job.status, job.epoch, job.tries, job.wait_reason) == ("queued", 2, 0, "interrupted")
    attempt = Attempt.objects.get(job=job)
    assert (attempt.state, attempt.cost_micro, job.charge_micro) == ("unknown", 0, 0)
    runner.close()
    job.refresh_from_db()
    assert job.published_at is not None, "it was handed over for another worker"


def test_within_the_grace_period_a_job_ends_as_usual(
    runner: Runner, make_job: MakeJob, threads: ThreadPoolExecutor, sandbox: SandboxServer
) -> None:
    job = make_job(published_at=Now())
    sandbox.set_faults({"kind": "slow_first_byte", "seconds": 0.5})
    future = threads.submit(run, runner, job)
    wait_for(lambda: bool(sandbox.calls()))
    runner.drain(grace_s=LONG_S, end_s=LONG_S)
    future.result(timeout=PATIENCE_S)
    job.refresh_from_db()
    assert (job.status, job.attempts) == ("succeeded", 1)


def test_a_job_claimed_during_the_stop_is_aborted(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No job is held when the grace period ends."""
    keeper, cancel, first = LeaseKeeper(15), Cancel(), threading.Event()
    abort_all = keeper.abort_all

    def noted(reason: str) -> None:
        abort_all(reason)
        first.set()

    monkeypatch.setattr(keeper, "abort_all", noted)
    runner = Runner(WorkerContext(keeper=keeper), end=lambda: None)
    runner.drain(grace_s=0.1, end_s=LONG_S)
    assert first.wait(PATIENCE_S)
    with keeper.hold(claim(make_job()), cancel):
        wait_for(lambda: cancel.reason is not None)
    runner.close()
    assert cancel.reason == lease.STOPPING


def test_a_process_with_hung_threads_stops() -> None:
    asked: list[str] = []
    keeper = LeaseKeeper(15)
    context = WorkerContext(keeper=keeper, functions=FunctionsInThread())
    other = Runner(context, request_stop=lambda: asked.append("stop"))
    other.start(worker="llm@hangs", slots=4)
    when_stuck = keeper._presences["llm"].when_stuck
    assert when_stuck is not None
    when_stuck()
    other.close()
    assert asked == ["stop"]
    assert EXIT_CODE == 75, "its supervisor starts it again"


def test_an_outage_hands_a_message_back(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    handed_back: list[UUID] = []

    def away(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(job_run, "run_feature", away)
    monkeypatch.setattr(runner, "_hand_back", handed_back.append)
    job = uuid4()
    with pytest.raises(OperationalError):
        runner.run(job, worker="llm@test")
    assert handed_back == [job]


def test_a_process_with_endless_threads_ends_itself() -> None:
    """Celery would wait for them without limit."""
    ended = threading.Event()
    stuck = Runner(WorkerContext(keeper=LeaseKeeper(15)), end=ended.set)
    stuck.drain(grace_s=0, end_s=0.2)
    assert ended.wait(20)


def test_a_process_that_ends_in_time_is_left_alone() -> None:
    ended = threading.Event()
    before = set(threading.enumerate())
    quick = Runner(WorkerContext(keeper=LeaseKeeper(15)), end=ended.set)
    quick.drain(grace_s=0, end_s=LONG_S)
    begun = set(threading.enumerate()) - before
    (watch,) = (thread for thread in begun if thread.name == "grace-period")
    quick.close()
    watch.join(20)
    assert not watch.is_alive()
    assert not ended.is_set()


def test_a_stopping_worker_claims_nothing(
    runner: Runner, make_job: MakeJob, sandbox: SandboxServer
) -> None:
    job = make_job(published_at=Now())  # its message does not count as lost yet
    before = Job.objects.get(pk=job.pk).published_at
    runner.drain(grace_s=LONG_S, end_s=LONG_S)
    run(runner, job)
    runner.close()
    job.refresh_from_db()
    assert (job.status, job.epoch) == ("queued", 0)
    assert before is not None
    assert job.published_at is not None
    assert job.published_at > before, "another worker gets a message of its own"
    assert sandbox.calls() == []
    assert Worker.objects.get(name="llm@test").slots == 0
