"""The clock of a process jumps by days. The database's clock decides, so nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from aifeature.models import Attempt, Job, SpendWindow, Status
from aifeature.services.dispatch import publisher
from tests.chaos.real_processes import LIMIT_S, Processes, broker, wait_until
from tests.held import FIRST_S, held
from tests.integration.job_rows import MakeJob, database_time
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.timeout(LIMIT_S)

DAYS_S = 3 * 24 * 3600
LEASE_S = 6
EXTENDED = 4
"""Number of lease extensions, each by a third of the lease: without them it would expire."""

TEXT = {"document": "Refunds are paid within 30 days."}
SHIM = Path(__file__).parent / "wrong_clock"


class Clock:
    """The wall clock of one process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.jump(0)

    def jump(self, to_s: int) -> None:
        draft = self.file.with_suffix(".new")
        draft.write_text(str(to_s))
        draft.replace(self.file)


@pytest.fixture
def clock(processes: Processes, tmp_path: Path) -> Clock:
    """The clock of the processes of this test."""
    clock = Clock(tmp_path / "shift")
    processes.env.update(PYTHONPATH=str(SHIM), CLOCK_SHIFT=str(clock.file))
    return clock


def today() -> date:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (now() AT TIME ZONE 'UTC')::date")
        found: date = cursor.fetchone()[0]
    return found


def extension_of(job: Job) -> Callable[[], bool]:
    """Return a check for a longer lease. The check also searches for runs without a lease."""
    job.refresh_from_db()
    longer = Job.objects.filter(pk=job.pk, lease_until__gt=job.lease_until)

    def is_extended() -> bool:
        publisher.refill()
        return longer.exists()

    return is_extended


def is_called(sandbox: SandboxServer) -> bool:
    publisher.refill()
    return bool(sandbox.calls())


def ended(job: Job) -> bool:
    publisher.refill()
    job.refresh_from_db()
    return job.status == Status.SUCCEEDED


def test_a_worker_whose_clock_jumps_runs_its_jobs_as_before(
    processes: Processes, make_job: MakeJob, sandbox: SandboxServer, clock: Clock
) -> None:
    processes.env["LEASE_SECONDS"] = str(LEASE_S)
    processes.llm("worker")
    began, day, jobs = database_time(), today(), []
    for shift in (DAYS_S, -DAYS_S):
        sandbox.reset()
        sandbox.set_faults({"kind": "slow_first_byte", "seconds": FIRST_S, "times": 1})
        job = make_job(input=TEXT)
        jobs.append(job)
        with held() as calls:
            wait_until(lambda: is_called(sandbox), "the call")
            clock.jump(shift)
            for _ in range(EXTENDED):
                wait_until(extension_of(job), "the lease to be extended")
            calls.let_go(FIRST_S)
        wait_until(lambda: ended(job), "the job to end")  # noqa: B023
        assert (job.epoch, job.tries, job.attempts) == (1, 0, 1)

    sandbox.reset()
    sandbox.set_faults({"kind": "overloaded", "times": 1})  # back to the queue for a moment
    again = make_job(input=TEXT)
    jobs.append(again)
    wait_until(lambda: ended(again), "the job to end")
    assert (again.epoch, again.attempts) == (3, 2)

    for job in jobs:
        assert job.finished_at is not None
        assert began < job.created_at < job.finished_at < database_time()
    days = SpendWindow.objects.exclude(scope="month").values_list("day", flat=True)
    assert {*days, *Attempt.objects.values_list("day", flat=True)} <= {day, today()}


def test_beat_continues_when_its_clock_is_corrected(processes: Processes, clock: Clock) -> None:
    """The next wait does not begin at a last run in the future."""
    PeriodicTask.objects.create(
        name="Often",
        task="control.sweep",
        queue="control",
        interval=IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS),
    )
    connection.close()
    clock.jump(DAYS_S)
    processes.beat("beat")
    with broker() as queues:

        def sent() -> int:
            return int(str(queues.llen("control")))

        wait_until(sent, "a task")
        clock.jump(0)
        before = sent()
        wait_until(lambda: sent() > before, "another task")
