"""Cancelling over HTTP: in every state, during a call, and while a worker finishes the job."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections
from django.db.models.functions import Now
from django.test import Client

from aifeature.models import TERMINAL, Attempt, Job, SpendWindow, Status
from aifeature.models.functions import is_lock_timeout
from aifeature.services.execution import job_run
from tests.integration.api.api_jobs import bearer, job
from tests.sandbox_server import SandboxServer

LONG_S = 3600.0
RACES = 60


def cancel(client: Client, job_id: object) -> Any:
    return client.post(f"/api/v1/jobs/{job_id}/cancel")


def due(user: User) -> Job:
    made: Job = job(user)
    Job.objects.filter(pk=made.pk).update(deadline_at=Now() + timedelta(seconds=300))
    return made


def run(job_id: UUID) -> None:
    try:
        job_run.run_feature(job_id, worker="w")
    finally:
        connection.close()


def run_beside_others(job_id: UUID) -> None:
    """Run the job; while another transaction has its row, try again, as a worker does."""
    while True:
        try:
            return run(job_id)
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise


@pytest.mark.parametrize("status", list(Status))
def test_a_job_is_cancelled_in_any_state_but_an_ended_one(ada: User, status: Status) -> None:
    row = job(ada, status)
    before = Job.objects.values().get(pk=row.pk)
    client = bearer(ada)
    shown = client.get(f"/api/v1/jobs/{row.pk}").json()
    answer = cancel(client, row.pk)
    after = Job.objects.values().get(pk=row.pk)
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, after["status"])
    assert "cancel" not in body["links"]
    if status in TERMINAL:
        assert after == before
        assert body == shown
    elif status is Status.RUNNING:
        assert after["status"] == "running"
        assert after["cancel_requested_at"] is not None
    else:
        assert after["status"] == "cancelled"
        assert (body["error"]["code"], bool(body["error"]["message"])) == ("cancelled", True)
        assert body["finished_at"] is not None


@pytest.mark.usefixtures("committed", "live_prompt")
@pytest.mark.parametrize(
    "fault",
    [{"kind": "slow_first_byte", "seconds": LONG_S}, {"kind": "stall", "seconds": LONG_S}],
    ids=["before the first byte", "in the middle of the stream"],
)
def test_a_running_call_is_aborted(
    ada: User, sandbox: SandboxServer, fault: dict[str, Any]
) -> None:
    """`make bench ONLY=abort` measures the time that it takes."""
    sandbox.set_faults(fault)
    row = due(ada)
    running = threading.Thread(target=run, args=[row.pk], daemon=True)
    running.start()
    wait_for_call(sandbox)
    assert cancel(bearer(ada), row.pk).json()["status"] == "running"
    running.join(40)  # less than the silence that ends a call by itself
    assert not running.is_alive()
    row.refresh_from_db()
    (call,) = sandbox.ended_calls()
    assert call["outcome"] == "client_gone"
    assert (row.status, row.error_code, row.charge_micro) == ("cancelled", "cancelled", 0)
    assert Attempt.objects.get(job=row).error_code == "cancelled"


@pytest.mark.usefixtures("committed", "live_prompt")
def test_a_race_of_cancel_and_finish_has_one_end(ada: User, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "slow_first_byte", "seconds": 0.02})
    client = bearer(ada)
    dice = random.Random(7)
    jobs = [due(ada) for _ in range(RACES)]
    answers: dict[UUID, dict[str, Any]] = {}
    wait_s = 0.02
    with ThreadPoolExecutor(1) as worker:
        for number, row in enumerate(jobs):
            at_the_end = number % 2 == 0
            running = worker.submit(run_beside_others, row.pk)
            # Else anywhere: from before the claim to after the end.
            threading.Event().wait(wait_s if at_the_end else dice.uniform(0, 1.2 * wait_s))
            answers[row.pk] = cancel(client, row.pk).json()
            running.result(timeout=60)
            if at_the_end:
                # However long a run takes here, both ends are met, and their border is.
                row.refresh_from_db()
                wait_s *= 1.5 if row.status == "cancelled" else 0.75
    connections.close_all()

    ends = set()
    for row in Job.objects.all():
        answer = answers[row.pk]
        now = client.get(f"/api/v1/jobs/{row.pk}").json()
        assert row.status in {"succeeded", "cancelled"}
        assert answer == now or answer["status"] == "running"
        succeeded = row.status == "succeeded"
        assert (row.charge_micro > 0, row.result is not None) == (succeeded, succeeded)
        settled = Attempt.objects.filter(job=row, state="settled").count()
        assert settled == succeeded
        ends.add((answer["status"], row.status))
    assert {status for _, status in ends} == {"succeeded", "cancelled"}, "no race at all"
    windows = SpendWindow.objects.filter(scope="user")  # two of them, if the day has turned
    charged = sum(window.spent_micro for window in windows)
    assert charged == sum(row.charge_micro for row in Job.objects.all())


def wait_for_call(sandbox: SandboxServer) -> None:
    until = time.monotonic() + 20
    while not sandbox.calls():
        assert time.monotonic() < until
        time.sleep(0.005)
