"""The takeover of runs, and the return of runs that no thread holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models.functions import Now

from aifeature.models import (
    Attempt,
    Job,
    KillMode,
    SpendWindow,
    Worker,
    fair_queue,
    heartbeats,
    transitions,
)
from aifeature.models.functions import is_lock_timeout, rows
from aifeature.services.controls import switch
from aifeature.services.dispatch import dispatcher, recovery
from aifeature.services.dispatch.worker_agent import WorkerAgent
from aifeature.services.execution import worker_context
from aifeature.services.execution.lease import LeaseKeeper
from aifeature.services.execution.runner import Runner
from tests.integration.clock import Clock
from tests.integration.execution.keeper.conftest import (
    GLOBAL_WINDOW,
    ROW,
    WORKER,
    locked,
    other_session,
)
from tests.integration.job_rows import MakeJob, age, begin, claim
from workers.inference import Cancel

pytestmark = pytest.mark.usefixtures("committed")


def chosen() -> list[object]:
    found = fair_queue.dispatch(limit=9, lost_after_s=60, again_after_s=10, max_concurrency={})
    return [job for _, job in found]


def test_a_take_over_needs_an_expired_lease_and_a_stale_presence(
    keeper: LeaseKeeper, make_job: MakeJob
) -> None:
    job = make_job()
    keeper.appear(WORKER, queue="llm", slots=4)
    with keeper.hold(claim(job, worker=WORKER), Cancel()):
        keeper.beat()
        age(job, lease_until=timedelta(seconds=1))
        assert transitions.claim(job.pk, worker="w2", lease_s=15) is None
        assert chosen() == []
        recovery.sweep()
        due = fair_queue.next_due_s()
        assert due is not None
        assert due > dispatcher.MOST_SLEEP_S, "nothing to do while its worker lives"
        Worker.objects.update(seen_at=Now() - timedelta(seconds=16))
        assert chosen() == [job.pk]
        taken = transitions.claim(job.pk, worker="w2", lease_s=15)
    assert taken is not None
    assert (taken.epoch, taken.tries) == (2, 1)


def test_another_presence_keeps_no_lost_run(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    job = make_job()
    claim(job, worker="llm@gone/1")
    age(job, lease_until=timedelta(seconds=1))
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    assert chosen() == [job.pk]
    assert transitions.claim(job.pk, worker=WORKER, lease_s=15) is not None


@pytest.mark.parametrize("what", ["waits", "was lost on its way", "was abandoned"])
def test_a_locked_job_delays_no_other_publish(make_job: MakeJob, bob: User, what: str) -> None:
    held, free = make_job(), make_job(user=bob)
    if what == "was lost on its way":
        Job.objects.update(published_at=Now() - timedelta(seconds=100))
    if what == "was abandoned":
        for job in (held, free):
            claim(job, worker="llm@gone/1")
            age(job, lease_until=timedelta(seconds=1))
    with locked(ROW, held.pk):
        assert chosen() == [free.pk]


def test_a_locked_job_delays_no_other_new_publish(make_job: MakeJob) -> None:
    """The broker was emptied."""
    held, _ = make_job(published_at=Now()), make_job(published_at=Now())
    with locked(ROW, held.pk):
        assert fair_queue.take_all_back() == 1


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_locked_job_delays_no_other_end(make_job: MakeJob, bob: User, state: str) -> None:
    held, free = make_job(), make_job(user=bob)
    for seconds, job in ((2, held), (1, free)):
        if state == "running":
            claim(job, worker="llm@gone/1")
            age(job, lease_until=timedelta(seconds=seconds))
        age(job, deadline_at=timedelta(seconds=seconds))
    with locked(ROW, held.pk):
        recovery.sweep()
    assert dict(Job.objects.values_list("pk", "status")) == {held.pk: state, free.pk: "failed"}


@pytest.mark.parametrize(
    ("mode", "said"), [(KillMode.HOLD, "feature_paused"), (KillMode.CANCEL, "cancelled")]
)
def test_a_locked_job_delays_no_switch(
    make_job: MakeJob, bob: User, mode: KillMode, said: str
) -> None:
    held, free = make_job(), make_job(user=bob)
    switch.stop("summarize", reason="r", mode=mode, user_id=bob.pk)
    with locked(ROW, held.pk):
        assert switch.settle_stopped() == 1
    assert dict(Job.objects.values_list("pk", "error_code")) == {held.pk: "", free.pk: said}


def test_a_presence_of_the_release_before_counts(make_job: MakeJob) -> None:
    job = make_job()
    claim(job, worker="llm@old/7")
    with other_session() as old:
        old.execute("SELECT aif_presence('llm@old/7', 4)")
    age(job, lease_until=timedelta(seconds=1))
    assert transitions.claim(job.pk, worker="w2", lease_s=15) is None
    assert Worker.objects.get().queue == "llm"


@pytest.mark.parametrize("worker", ["alive", "gone"])
def test_a_claim_takes_no_locked_row(make_job: MakeJob, keeper: LeaseKeeper, worker: str) -> None:
    job = make_job()
    if worker == "alive":
        keeper.appear(WORKER, queue="llm", slots=4)
        keeper.beat()
    claim(job, worker=WORKER)
    age(job, lease_until=timedelta(seconds=1))
    with locked(ROW, job.pk):
        assert transitions.claim(job.pk, worker="w2", lease_s=15) is None


def test_the_message_of_a_locked_job_is_handed_back(
    keeper: LeaseKeeper, make_job: MakeJob, agent: WorkerAgent
) -> None:
    job = make_job(published_at=Now())
    runner = Runner(worker_context.current())
    runner._agent = agent
    with locked(ROW, job.pk):
        with pytest.raises(OperationalError) as refused:
            transitions.claim(job.pk, worker=WORKER, lease_s=15)
        assert is_lock_timeout(refused.value)
        runner.run(job.pk, worker=WORKER)
        agent.turn()
        assert agent._handed_back == {job.pk}, "not while it is locked"
    before = Job.objects.get(pk=job.pk).published_at
    agent.turn()
    job.refresh_from_db()
    assert not agent._handed_back
    assert (job.status, job.epoch, job.tries) == ("queued", 0, 0)
    assert job.published_at != before, "the same turn chose it again"


@pytest.mark.parametrize(("calls", "tries"), [(0, 0), (1, 1)])
def test_a_lost_run_is_returned(
    keeper: LeaseKeeper, make_job: MakeJob, calls: int, tries: int
) -> None:
    job = make_job()
    taken = claim(job, worker=WORKER)
    for _ in range(calls):
        begin(taken)
    of_another = make_job()
    claim(of_another, worker="llm@other/2")
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    job.refresh_from_db()
    of_another.refresh_from_db()
    assert (job.status, job.epoch, job.tries) == ("queued", 2, tries)
    assert (job.wait_reason, job.published_at) == ("interrupted", None)
    assert list(Attempt.objects.values_list("state", "error_code")) == (
        [("unknown", "lease_lost")] * calls
    )
    assert not SpendWindow.objects.filter(held_micro__gt=0).exists()
    assert of_another.status == "running"


def test_a_lost_run_that_was_cancelled_ends(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    job = make_job()
    claim(job, worker=WORKER)
    transitions.cancel(job.pk, user_id=job.user_id, message="You cancelled this request.")
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    job.refresh_from_db()
    assert (job.status, job.error_message) == ("cancelled", "You cancelled this request.")


def test_a_job_during_its_claim_is_kept(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    """The claim is committed, and its thread does not hold the job yet."""
    job = make_job()
    keeper.appear(WORKER, queue="llm", slots=4)
    with keeper.claiming(job.pk):
        taken = claim(job, worker=WORKER)
        keeper.beat()
        with keeper.hold(taken, Cancel()):
            keeper.beat()
            job.refresh_from_db()
            assert (job.status, job.epoch) == ("running", 1)
    keeper.beat()
    job.refresh_from_db()
    assert (job.status, job.epoch) == ("queued", 2)


def test_a_locked_lost_run_delays_no_other(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    held, free = make_job(), make_job()
    for job in (held, free):
        claim(job, worker=WORKER)
    keeper.appear(WORKER, queue="llm", slots=4)
    with locked(ROW, held.pk):
        keeper.beat()
        assert set(Job.objects.values_list("pk", "status")) == {
            (held.pk, "running"),
            (free.pk, "queued"),
        }
    keeper.beat()
    assert set(Job.objects.values_list("status", flat=True)) == {"queued"}


def test_the_keeper_reconnects_after_an_outage(
    keeper: LeaseKeeper, make_job: MakeJob, clock: Clock
) -> None:
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    claim(make_job(), worker=WORKER)
    with other_session() as operator:
        operator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid = %s",
            (_backend(keeper),),
        )
    keeper.beat()  # finds that the connection is closed
    keeper.beat()
    assert Job.objects.get().status == "queued"


def test_a_locked_window_delays_no_other_job(make_job: MakeJob) -> None:
    lost, due = make_job(), make_job()
    begin(claim(lost))
    age(lost, lease_until=timedelta(seconds=1), deadline_at=timedelta(seconds=1))
    with locked(GLOBAL_WINDOW):
        assert recovery.sweep() == 2, "the one that is due, and the lost one for a worker to end"
    lost.refresh_from_db()
    assert lost.status == "running"
    recovery.sweep()
    lost.refresh_from_db()
    assert (lost.status, lost.error_code) == ("failed", "deadline_exceeded")
    assert Job.objects.get(pk=due.pk).published_at is not None


def test_a_locked_user_window_delays_no_other_user(make_job: MakeJob, bob: User) -> None:
    lost, other = make_job(), make_job(user=bob)
    for seconds, job in ((2, lost), (1, other)):
        begin(claim(job))
        age(job, lease_until=timedelta(seconds=seconds), deadline_at=timedelta(seconds=seconds))
    mine = f"summarize:{lost.user_id}"
    with locked(f"SELECT 1 FROM aifeature_spendwindow WHERE key = '{mine}' FOR UPDATE"):  # noqa: S608
        recovery.sweep()
    for job in (lost, other):
        job.refresh_from_db()
    assert (lost.status, other.status) == ("running", "failed")


def _backend(keeper: LeaseKeeper) -> int:
    session = keeper._session._connection
    assert session is not None
    return session.info.backend_pid


def test_after_a_gap_of_all_presences_takeovers_wait(make_job: MakeJob) -> None:
    """The database took no writes, so a run that has its answer may store it first."""
    job = make_job()
    claim(job, worker=WORKER)
    age(job, lease_until=timedelta(seconds=1))
    for name in (WORKER, "llm@other/2"):
        heartbeats.alive(rows, name, queue="llm", slots=4)
    Worker.objects.update(seen_at=Now() - timedelta(seconds=60))

    def taken_over() -> bool:
        return transitions.claim(job.pk, worker="llm@other/2", lease_s=15) is not None

    assert not taken_over(), "it has not been seen itself"
    heartbeats.alive(rows, "llm@other/2", queue="llm", slots=4)
    assert not taken_over(), "it was seen again a moment ago"
    Worker.objects.filter(resumed_at__isnull=False).update(resumed_at=Now() - timedelta(seconds=6))
    assert taken_over()


def test_presences_without_a_gap_are_no_return(make_job: MakeJob) -> None:
    heartbeats.alive(rows, WORKER, queue="llm", slots=4)
    Worker.objects.update(seen_at=Now() - timedelta(seconds=2))
    heartbeats.alive(rows, WORKER, queue="llm", slots=4)
    assert Worker.objects.get().resumed_at is None
