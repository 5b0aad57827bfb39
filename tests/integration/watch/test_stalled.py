"""Jobs were accepted and none runs: an alert names the seconds, and a cause in Redis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from aifeature.models import Alert, AttemptState, Job, KillMode, Watch
from aifeature.services.controls import switch
from aifeature.services.watch import stalled, watcher
from tests.integration.job_rows import MakeCall, MakeJob, age, claim
from tests.integration.watch.conftest import stop_clock, worker

pytestmark = pytest.mark.usefixtures("committed", "opened")

LATE_S = 31.0


@pytest.fixture
def job(watched: None, make_job: MakeJob) -> Job:
    """A job that is due for too long."""
    found = make_job()
    age(found, run_at=timedelta(seconds=LATE_S))
    return found


def alerted() -> list[str]:
    worker("llm")  # it is present
    watcher.check(after_s=0)
    open_ones = Alert.objects.filter(kind=stalled.NOTHING_RUNS, closed_at=None)
    return list(open_ones.values_list("summary", flat=True))


def test_a_job_that_does_not_start_is_an_alert(job: Job) -> None:
    (summary,) = alerted()
    (seconds,) = re.findall(
        r"^1 accepted job is due, and for (\d+) seconds none was started", summary
    )
    late = Job.objects.annotate(late=Now() - F("run_at")).values_list("late", flat=True).get()
    assert LATE_S <= int(seconds) <= late.total_seconds() + 1
    assert "check the logs of the llm workers" in summary
    assert Alert.objects.get(kind=stalled.NOTHING_RUNS).notified_at is not None
    claim(job)
    assert alerted() == []


def test_a_job_is_late_after_thirty_seconds_and_not_before(job: Job) -> None:
    found = []
    with transaction.atomic():
        stop_clock()
        for due_s in (29.9, 30):
            age(job, run_at=timedelta(seconds=due_s))
            found.append(len(alerted()))
        transaction.set_rollback(True)
    assert found == [0, 1]


@pytest.mark.parametrize(
    "what",
    ["due later", "runs", "called", "paused", "no worker", "watched lately"],
)
def test_a_normal_state_is_no_alert(
    job: Job, make_job: MakeJob, make_call: MakeCall, what: str
) -> None:
    if what == "due later":
        age(job, run_at=timedelta(seconds=-60))
    if what == "runs":
        claim(make_job())
    if what == "called":
        make_call(AttemptState.STARTED, job=job, started_at=Now())
    if what == "paused":
        switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=job.user_id)
    if what == "watched lately":
        Watch.objects.filter(name="turn").update(since=Now())
    if what == "no worker":
        worker("llm", ago_s=30)
        assert stalled.found() == []
        return
    assert alerted() == []


def test_an_old_run_and_an_old_call_hide_nothing(
    job: Job, make_job: MakeJob, make_call: MakeCall
) -> None:
    lost = make_job()
    claim(lost)
    age(lost, lease_until=timedelta(seconds=1))
    old = Now() - timedelta(seconds=LATE_S + 10)
    make_call(AttemptState.STARTED, job=job, started_at=old)
    assert len(alerted()) == 1


def test_the_alert_names_the_answer_of_redis(job: Job, other_type: None) -> None:
    (summary,) = alerted()
    assert "A key of the queues holds another type of value" in summary
    assert "It is 'llm'." in summary


@pytest.fixture
def other_type() -> Iterator[None]:
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        client.set("llm", "text")
        yield
        client.delete("llm")
