"""Jobs were accepted and nothing runs: an alert says so, and what Redis has to do with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from aifeature.models import Alert, Attempt, Job, KillMode, Watch
from aifeature.services.controls import switch
from aifeature.services.watch import stalled, watcher
from tests.integration.job_rows import MakeJob, age, claim
from tests.integration.watch.conftest import age_watch, worker

pytestmark = pytest.mark.usefixtures("committed", "opened")

LATE_S = 31.0


@pytest.fixture
def watched(committed: None) -> None:
    worker("llm")
    for queue in ("evals", "control"):
        worker(queue)
    watcher.look(after_s=0)
    age_watch(3600)


@pytest.fixture
def job(watched: None, make_job: MakeJob) -> Job:
    """Accepted, and due for longer than it should be."""
    found = make_job()
    age(found, run_at=timedelta(seconds=LATE_S))
    return found


def alerted() -> list[str]:
    worker("llm")  # it lives
    watcher.look(after_s=0)
    open_ones = Alert.objects.filter(kind=stalled.NOTHING_RUNS, closed_at=None)
    return list(open_ones.values_list("summary", flat=True))


def test_a_job_that_nobody_starts_is_an_alert_until_it_runs(job: Job) -> None:
    (summary,) = alerted()
    (told,) = re.findall(r"^1 accepted job is due, and for (\d+) seconds none was started", summary)
    late = Job.objects.annotate(late=Now() - F("run_at")).values_list("late", flat=True).get()
    assert LATE_S <= int(told) <= late.total_seconds() + 1
    assert "check the logs of the llm workers" in summary
    assert Alert.objects.get(kind=stalled.NOTHING_RUNS).notified_at is not None
    claim(job)
    assert alerted() == []


@pytest.mark.parametrize(
    "what",
    ["not due so long", "due later", "runs", "called", "paused", "no worker", "watched lately"],
)
def test_what_is_as_it_should_be_is_no_alert(job: Job, make_job: MakeJob, what: str) -> None:
    if what == "not due so long":
        age(job, run_at=timedelta(seconds=LATE_S - 6))
    if what == "due later":
        age(job, run_at=timedelta(seconds=-60))
    if what == "runs":
        claim(make_job())
    if what == "called":
        call(job, ago_s=10)
    if what == "paused":
        switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=job.user_id)
    if what == "watched lately":
        Watch.objects.filter(name="turn").update(since=Now() - timedelta(seconds=20))
    if what == "no worker":
        worker("llm", ago_s=30)
        assert stalled.found() == []
        return
    assert alerted() == []


def test_a_run_and_a_call_of_long_ago_hide_nothing(job: Job, make_job: MakeJob) -> None:
    lost = make_job()
    claim(lost)
    age(lost, lease_until=timedelta(seconds=1))
    call(job, ago_s=LATE_S + 10)
    assert len(alerted()) == 1


def test_the_alert_names_what_redis_answers(job: Job, other_type: None) -> None:
    (summary,) = alerted()
    assert "A key of the queues holds another type of value" in summary
    assert "It is 'llm'." in summary


@pytest.fixture
def other_type() -> Iterator[None]:
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        client.set("llm", "text")
        yield
        client.delete("llm")


def call(job: Job, *, ago_s: float) -> None:
    values: dict[str, Any] = {
        "id": uuid4(), "job": job, "user": job.user, "feature": job.feature, "epoch": 1,
        "number": 1, "purpose": "generation", "state": "started", "provider": "sandbox",
        "model": "m", "prompt_version": "v3", "prompt_hash": "0" * 64, "bound_micro": 1,
        "day": job.created_at.date(), "started_at": Now() - timedelta(seconds=ago_s),
    }  # fmt: skip
    Attempt.objects.create(**values)
