"""A queue without a worker is an alert, and jobs for it are not accepted."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from aifeature.admin.alerting import open_alerts
from aifeature.models import Alert, Job, Watch, Worker
from aifeature.services.jobs import admission
from aifeature.services.watch import watcher
from aifeature.services.watch.queues import QUEUES
from project.celery import app
from tests.integration.api.api_jobs import bearer, problem, submit
from tests.integration.watch.conftest import age_watch, stop_clock, worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(ada: User, opened: None) -> Client:
    return bearer(ada)


def without_worker() -> set[str]:
    watcher.check(after_s=0)
    admission.loads.clear()
    open_ones = Alert.objects.filter(kind="no_worker", closed_at=None)
    return set(open_ones.values_list("subject", flat=True))


def gone(queue: str, ago_s: float) -> None:
    """Set the last presence of the queue's worker, and what the watchers have stored of it."""
    worker(queue, ago_s=ago_s)
    seen = Worker.objects.get(queue=queue).seen_at
    Watch.objects.filter(name=f"queue {queue}").update(alive_at=seen)


def test_every_queue_is_watched() -> None:
    assert set(QUEUES) == {queue.name for queue in app.conf.task_queues}


@pytest.mark.parametrize("queue", sorted(QUEUES))
def test_a_queue_is_without_a_worker_after_a_minute(watched: None, queue: str) -> None:
    stop_clock()
    assert without_worker() == set()
    gone(queue, 60)
    assert without_worker() == set()
    gone(queue, 61)
    assert without_worker() == {queue}
    alert = Alert.objects.get(kind="no_worker")
    (seconds,) = re.findall(rf"No worker has served the queue {queue} for (\d+) s", alert.summary)
    assert int(seconds) == 61
    assert alert.notified_at is not None
    worker(queue)
    assert without_worker() == set()


def test_a_queue_without_a_worker_refuses_jobs(client: Client, watched: None) -> None:
    gone("llm", 61)
    refused = submit(client)
    assert "temporarily unavailable" in problem(refused, 503, "no_worker")["detail"]
    assert refused["Retry-After"] == "60"
    assert not Job.objects.exists()
    worker("llm")
    admission.loads.clear()
    assert submit(client).status_code == 202


def test_the_page_shows_a_missing_worker(ada: User, opened: None, watched: None) -> None:
    visitor = Client()
    visitor.force_login(ada)
    assert "data-closed" not in visitor.get("/f/summarize/").text
    gone("llm", 61)
    admission.loads.clear()
    assert "data-closed" in visitor.get("/f/summarize/").text


@pytest.mark.parametrize("queue", ["evals", "control"])
def test_a_job_needs_no_worker_of_another_queue(client: Client, watched: None, queue: str) -> None:
    gone(queue, 3600)
    assert submit(client).status_code == 202


def test_an_accepted_job_waits_for_a_worker(client: Client, watched: None) -> None:
    first = submit(client, idempotency_key="k")
    gone("llm", 61)
    admission.loads.clear()
    again = submit(client, idempotency_key="k")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again["Idempotency-Replayed"] == "true"
    assert client.get(first["Location"]).json()["status"] == "queued"


def test_a_refused_request_is_not_counted(client: Client, watched: None) -> None:
    gone("llm", 61)
    assert submit(client)["RateLimit"] == submit(client)["RateLimit"]


def test_a_stopping_worker_does_not_count(client: Client, watched: None) -> None:
    """Its presence is still written. The watchers have stored when it last took jobs."""
    assert without_worker() == set()
    gone("llm", 61)
    worker("llm", slots=0)
    assert without_worker() == {"llm"}
    problem(submit(client), 503, "no_worker")


def test_a_stopping_worker_is_missed_after_a_minute(client: Client, watched: None) -> None:
    without_worker()
    worker("llm", slots=0)
    assert without_worker() == set()
    assert submit(client).status_code == 202


def test_a_new_queue_has_a_minute_to_start_its_workers(watched: None) -> None:
    Worker.objects.filter(queue="evals").delete()
    Watch.objects.filter(name="queue evals").delete()
    assert without_worker() == set()


def test_a_stopping_worker_of_another_queue_counts(watched: None) -> None:
    gone("control", 61)
    worker("control", slots=0)
    assert without_worker() == set()


def test_a_forgotten_worker_is_missed(client: Client, watched: None) -> None:
    gone("llm", 4000)
    Worker.objects.filter(queue="llm").delete()
    assert without_worker() == {"llm"}
    problem(submit(client), 503, "no_worker")


def test_a_new_installation_has_a_minute_to_start_its_workers(client: Client) -> None:
    assert without_worker() == set()
    stop_clock()
    Watch.objects.update(since=Now())
    age_watch(60)
    assert without_worker() == set()
    assert submit(client).status_code == 202
    age_watch(1)
    assert without_worker() == set(QUEUES)
    problem(submit(client), 503, "no_worker")


def test_before_the_first_worker_jobs_are_accepted(client: Client) -> None:
    """In a first deploy the web processes start first."""
    assert not Watch.objects.exists()
    assert submit(client).status_code == 202


def test_after_an_outage_workers_have_a_minute_to_come_back(client: Client, watched: None) -> None:
    for queue in QUEUES:
        gone(queue, 600)
    Watch.objects.filter(name="turn").update(seen_at=Now() - timedelta(seconds=600))
    assert without_worker() == set()
    assert submit(client).status_code == 202


def test_the_overview_shows_a_missing_worker_without_a_watcher(watched: None) -> None:
    gone("llm", 61)
    assert shown() == ["llm"]
    assert not Alert.objects.exists()
    without_worker()
    assert shown() == ["llm"]


def shown() -> list[str]:
    return [row.subject for row in open_alerts.rows() if row.kind == "no worker"]
