"""The list of workers."""

from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from aifeature.models import Worker, heartbeats
from aifeature.models.functions import rows as ask
from tests.integration.admin.conftest import MakeJob


def alive(worker: str, *, slots: int) -> None:
    heartbeats.alive(ask, worker, queue="llm", slots=slots)


def test_the_list_shows_states_and_jobs(page: Client, make_job: MakeJob) -> None:
    alive("llm@busy", slots=4)
    alive("llm@leaving", slots=0)
    alive("llm@dead", slots=4)
    Worker.objects.filter(name="llm@dead").update(seen_at=Now() - timedelta(seconds=21))
    for _ in range(3):
        make_job(status="running", worker="llm@busy", lease_until=Now())
    response = page.get(reverse("admin:aifeature_worker_changelist"))
    rows = {row.name: row for row in response.context["cl"].result_list}
    model_admin = response.context["cl"].model_admin
    states = {name: model_admin.state(row) for name, row in rows.items()}
    assert states == {"llm@busy": "live", "llm@leaving": "stopping", "llm@dead": "gone"}
    assert rows["llm@busy"].running_jobs == 3
    assert rows["llm@dead"].running_jobs == 0


def test_a_worker_that_has_been_gone_for_an_hour_is_forgotten(page: Client) -> None:
    alive("llm@old", slots=4)
    Worker.objects.update(seen_at=Now() - timedelta(hours=2))
    alive("llm@new", slots=4)
    assert list(Worker.objects.values_list("name", flat=True)) == ["llm@new"]
