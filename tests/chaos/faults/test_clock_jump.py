"""The clock of a worker's host jumps by days: the database's decides, and nothing changes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from aifeature.models import Attempt, Job, SpendWindow, Status
from aifeature.services.dispatch import publisher
from project.stack.local_dir import CHECKOUT
from project.stack.signals import wait_until
from tests.chaos.faults.system import BOUND_S, LIMIT_S
from tests.held import FIRST_S, held
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer
from tests.system import component, environment

pytestmark = [pytest.mark.usefixtures("committed"), pytest.mark.timeout(LIMIT_S)]

DAYS_S = 3 * 24 * 3600
LEASE_S = 6
EXTENDED = 4
"""How often a lease is seen to be: each time by a third of it, so that it would have run out."""

TEXT = {"document": "Refunds are paid within 30 days."}
SHIM = Path(__file__).parent / "wrong_clock"


class Clock:
    """Of one process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.jump(0)

    def jump(self, to_s: int) -> None:
        """Put it wrong by so many seconds."""
        draft = self.file.with_suffix(".new")
        draft.write_text(str(to_s))
        draft.replace(self.file)


@contextmanager
def running(name: str, clock: Clock, **env: str) -> Iterator[Path]:
    """A process of the system with a clock of its own, on the stores of the test."""
    logs = clock.file.parent
    found = component(name, logs=logs)
    log = logs / f"{name}.log"
    head, mark, query = os.environ["DATABASE_URL"].partition("?")
    url = f"{head.rpartition('/')[0]}/{connection.settings_dict['NAME']}{mark}{query}"
    stores = {"DATABASE_URL": url, "REDIS_URL": django_settings.REDIS_URL}
    shim = {"PYTHONPATH": str(SHIM), "CLOCK_SHIFT": str(clock.file)}
    every = {**environment(stores), **found.env, **shim, **env}
    with log.open("wb") as output:
        process = subprocess.Popen(
            found.argv, env=every, cwd=CHECKOUT, stdout=output, stderr=output
        )
    try:
        assert wait_until(found.ready, timeout_s=BOUND_S), log.read_text()
        yield log
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "shift")


@pytest.fixture(autouse=True)
def queues() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(django_settings.REDIS_URL, protocol=2) as client:
        client.flushdb()
        yield client
        client.flushdb()


def today() -> date:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (now() AT TIME ZONE 'UTC')::date")
        found: date = cursor.fetchone()[0]
    return found


def extension_of(job: Job) -> Callable[[], bool]:
    """Whether its lease lasts longer by now, while others look for runs without one."""
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


def test_a_worker_whose_clock_jumps_runs_its_jobs_as_ever(
    make_job: MakeJob, sandbox: SandboxServer, clock: Clock
) -> None:
    with running(
        "worker-llm", clock, ANTHROPIC_BASE_URL=sandbox.url, LEASE_SECONDS=str(LEASE_S)
    ) as log:
        began, jobs = today(), []
        for shift in (DAYS_S, -DAYS_S):
            sandbox.reset()
            sandbox.set_faults({"kind": "slow_first_byte", "seconds": FIRST_S, "times": 1})
            job = make_job(input=TEXT)
            jobs.append(job)
            with held() as calls:
                assert wait_until(lambda: is_called(sandbox), timeout_s=BOUND_S), log.read_text()
                clock.jump(shift)
                for _ in range(EXTENDED):
                    assert wait_until(extension_of(job), timeout_s=BOUND_S), log.read_text()
                calls.let_go(FIRST_S)
            assert wait_until(lambda: ended(job), timeout_s=BOUND_S), log.read_text()  # noqa: B023
            assert (job.epoch, job.tries, job.attempts) == (1, 0, 1)

        sandbox.reset()
        sandbox.set_faults({"kind": "overloaded", "times": 1})  # back to the queue for a moment
        again = make_job(input=TEXT)
        jobs.append(again)
        assert wait_until(lambda: ended(again), timeout_s=BOUND_S), log.read_text()
        assert (again.epoch, again.attempts) == (3, 2)

    days_of_the_test = {began, today()}
    for job in jobs:
        assert job.finished_at is not None
        assert timedelta() < job.finished_at - job.created_at < timedelta(seconds=BOUND_S)
    assert set(Attempt.objects.values_list("day", flat=True)) <= days_of_the_test
    days = SpendWindow.objects.exclude(scope="month").values_list("day", flat=True)
    assert set(days) <= days_of_the_test


def test_beat_goes_on_when_its_clock_is_put_right(clock: Clock, queues: redis.Redis) -> None:
    """A last run in the future must not be the beginning of the next wait."""
    PeriodicTask.objects.create(
        name="Often",
        task="control.sweep",
        queue="control",
        interval=IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS),
    )
    connection.close()
    clock.jump(DAYS_S)
    with running("beat", clock) as log:

        def sent(more_than: int) -> bool:
            return int(str(queues.llen("control"))) > more_than

        assert wait_until(lambda: sent(0), timeout_s=BOUND_S), log.read_text()
        clock.jump(0)
        before = int(str(queues.llen("control")))
        assert wait_until(lambda: sent(before), timeout_s=BOUND_S / 2), log.read_text()
