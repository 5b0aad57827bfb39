"""Validators that never return: their jobs end, and a process with too many of them stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from aifeature.models import Alert, Attempt, Job
from aifeature.reasons import FailureCode
from aifeature.services.dispatch import dispatcher, recovery
from aifeature.services.execution import output, stuck_runs
from aifeature.services.execution.lease import LeaseKeeper
from aifeature.services.texts import FAILED
from tests.integration.clock import Clock
from tests.integration.execution.conftest import wait_for
from tests.integration.execution.keeper.conftest import LEASE_S, WORKER, Runs, run
from tests.integration.execution.keeper.test_locks import pool_taken
from tests.integration.job_rows import MakeJob, age, claim
from workers.inference import Cancel

pytestmark = pytest.mark.usefixtures("committed", "sandbox")

LATE = timedelta(seconds=LEASE_S + 1)


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Validators block until the event is set; `reached` counts them."""
    go_on = threading.Event()
    go_on.reached = 0  # type: ignore[attr-defined]
    validate = output.validate

    def blocks(*arguments: Any) -> Any:
        go_on.reached += 1  # type: ignore[attr-defined]
        go_on.wait()
        return validate(*arguments)

    monkeypatch.setattr(output, "validate", blocks)
    yield go_on
    go_on.set()


def hang(runs: Runs, blocked: Any, count: int = 1) -> list[Job]:
    """Start jobs whose validators block."""
    jobs = [runs.make_job() for _ in range(count)]
    reached = blocked.reached + count
    runs.futures += [runs.pool.submit(run, job) for job in jobs]
    wait_for(lambda: blocked.reached == reached)
    return jobs


def test_a_lease_ends_soon_after_the_deadline(keeper: LeaseKeeper, make_job: MakeJob) -> None:
    job = make_job()
    with keeper.hold(claim(job), Cancel()):
        age(job, deadline_at=timedelta(seconds=5))
        Job.objects.update(lease_until=Now() + timedelta(seconds=1))
        keeper.beat()
        keeper.beat()
    over = Job.objects.values_list(F("lease_until") - F("deadline_at"), flat=True).get()
    assert over == timedelta(seconds=LEASE_S)


def test_a_blocked_job_ends(keeper: LeaseKeeper, runs: Runs, blocked: threading.Event) -> None:
    keeper.appear(WORKER, queue="llm", slots=4)
    (job,) = hang(runs, blocked)
    age(job, deadline_at=timedelta(seconds=1), lease_until=timedelta(seconds=1))
    keeper._presences["llm"].written_at = float("-inf")
    keeper._write_heartbeats()
    dispatcher.turn()
    job.refresh_from_db()
    assert job.status == "running", "within the margin its worker keeps it"
    age(job, deadline_at=LATE, lease_until=timedelta(seconds=1))
    keeper.beat()
    dispatcher.turn()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "deadline_exceeded")
    assert job.error_message == FAILED[FailureCode.DEADLINE_EXCEEDED]
    attempt = Attempt.objects.get()
    assert (attempt.state, attempt.error_code) == ("unknown", "lease_lost")
    blocked.set()
    runs.ended()
    after = Job.objects.get()
    assert (after.status, after.result, after.charge_micro) == ("failed", None, 0)


def test_a_tenth_of_hung_threads_stops_a_process(
    keeper: LeaseKeeper, clock: Clock, runs: Runs, blocked: threading.Event
) -> None:
    stops: list[str] = []
    keeper.appear(WORKER, queue="llm", slots=20, when_stuck=lambda: stops.append("stop"))
    first = hang(runs, blocked)
    clock.now += 300 + LEASE_S + 1
    beat_until_stuck(keeper)
    assert stops == [], "one of twenty is less than a tenth"
    alert = Alert.objects.get(kind="stuck_worker")
    assert alert.subject == WORKER
    assert f"1 of 20 threads of this worker hang: job {first[0].pk} of summarize" in alert.summary
    assert "in threading.Condition.wait, line " in alert.summary
    assert f"called by {__name__}.blocked.<locals>.blocks, line " in alert.summary
    Job.objects.update(status="failed", lease_until=None, finished_at=Now())
    hang(runs, blocked)
    clock.now += 300 + LEASE_S + 1
    beat_until_stuck(keeper)
    beat_until_stuck(keeper)
    assert stops == ["stop"], "once"


def test_a_full_pool_hides_no_hang(keeper: LeaseKeeper, clock: Clock, make_job: MakeJob) -> None:
    job = make_job()
    keeper.appear(WORKER, queue="llm", slots=20, when_stuck=lambda: None)
    with keeper.hold(claim(job, worker=WORKER), Cancel()):
        clock.now += 300 + LEASE_S + 1
        with pool_taken(job):
            beat_until_stuck(keeper)
        assert Alert.objects.get().subject == WORKER


@pytest.mark.parametrize(("slots", "most"), [(1, 1), (2, 1), (10, 1), (11, 2), (16, 2), (200, 20)])
def test_a_tenth_of_the_threads_is_rounded_up(slots: int, most: int) -> None:
    assert stuck_runs.tenth(slots) == most


def test_a_paused_process_does_not_hang(
    keeper: LeaseKeeper, clock: Clock, make_job: MakeJob
) -> None:
    stops: list[str] = []
    keeper.appear(WORKER, queue="llm", slots=1, when_stuck=lambda: stops.append("stop"))
    cancel = Cancel()
    with keeper.hold(claim(make_job(), worker=WORKER), cancel):
        clock.now += 300 + LEASE_S + 1
        for _ in range(20):  # five seconds, in which threads that only waited for it have ended
            keeper.beat()
    beat_until_stuck(keeper)
    assert stops == []
    assert not Alert.objects.exists()


def test_the_alert_ends_when_it_is_not_renewed(db: None) -> None:
    Alert.objects.create(kind="stuck_worker", subject="llm@a/1", summary="It hangs.")
    Alert.objects.create(kind="drift", subject="d", summary="It drifts.")
    recovery._end_alerts_without_news()
    assert not Alert.objects.filter(closed_at__isnull=False).exists()
    Alert.objects.update(seen_at=Now() - (recovery.STUCK_SEEN_FOR + timedelta(seconds=1)))
    recovery._end_alerts_without_news()
    assert Alert.objects.get(closed_at__isnull=False).kind == "stuck_worker"


def beat_until_stuck(keeper: LeaseKeeper) -> None:
    for _ in range(stuck_runs.LOOKS):
        keeper.beat()
