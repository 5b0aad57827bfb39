"""The choice of evaluations to send, and their place beside users' jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import KillMode, Status, Worker, fair_queue, heartbeats
from aifeature.models.functions import rows
from aifeature.services import evaluations
from aifeature.services.controls import switch
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.django_db

THREADS = 10
LOST_AFTER_S = 60
AGAIN_AFTER_S = 10
EARLIER = Now() - timedelta(seconds=30)
LATER = Now() + timedelta(seconds=30)
RUNNING = {"status": Status.RUNNING, "worker": "gone", "lease_until": EARLIER}

TO_SEND: dict[str, dict[str, Any]] = {
    "due": {},
    "lost run": RUNNING,
    "message lost while a thread is free": {"published_at": EARLIER},
}
TO_LEAVE: dict[str, dict[str, Any]] = {
    "due later": {"run_at": LATER},
    "run under way": {**RUNNING, "lease_until": LATER},
    "run of a live worker": {**RUNNING, "worker": "busy"},
    "sent": {"published_at": Now() - timedelta(seconds=AGAIN_AFTER_S - 8)},
    "stopped feature": {"feature": "triage"},
}


@pytest.fixture
def owner(db: None) -> User:
    Worker.objects.all().delete()  # of tests before, with processes that have ended
    heartbeats.alive(rows, "busy", queue="evals", slots=THREADS)
    return evaluations.account()


def choose() -> list[tuple[str, Any]]:
    return fair_queue.dispatch(
        limit=99, lost_after_s=LOST_AFTER_S, again_after_s=AGAIN_AFTER_S, max_concurrency={}
    )


def test_only_evaluations_that_wait_for_a_message_are_sent(
    owner: User, make_job: MakeJob, ada: User
) -> None:
    """They are sent to their own queue, even if their account has a job as a user."""
    switch.stop("triage", reason="Odd.", mode=KillMode.HOLD, user_id=ada.pk)
    states = {**TO_SEND, **TO_LEAVE, "of a user": {"origin": "user"}}
    names = {
        make_job(**{"user": owner, "origin": "eval", **state}).pk: name
        for name, state in states.items()
    }
    chosen = {names[job]: queue for queue, job in choose()}
    assert chosen == {**dict.fromkeys(TO_SEND, "evals"), "of a user": "llm"}


def test_a_sent_evaluation_takes_a_place_of_its_window(owner: User, make_job: MakeJob) -> None:
    for _ in range(2 * THREADS + 1):
        make_job(user=owner, origin="eval")
    due_s = fair_queue.next_due_s()
    assert due_s is not None
    assert due_s <= 0
    assert [len(choose()) for _ in range(2)] == [2 * THREADS, 0]
    due_s = fair_queue.next_due_s()
    assert due_s is not None
    assert due_s > 0, "the dispatcher does not wake for jobs that it cannot send"


def test_a_window_holds_with_every_plan(owner: User, make_job: MakeJob) -> None:
    """Rows that a statement locks and limits are chosen once, not for each row that it changes."""
    for _ in range(2 * THREADS + 1):
        make_job(user=owner, origin="eval")
    with connection.cursor() as cursor:
        cursor.execute("DISCARD PLANS")
        for other in ("hashjoin", "mergejoin", "hashagg", "sort", "material"):
            cursor.execute(f"SET LOCAL enable_{other} = off")
        assert len(choose()) == 2 * THREADS
        cursor.execute("DISCARD PLANS")


def test_a_due_job_of_a_user_is_not_sent_as_an_evaluation(owner: User, make_job: MakeJob) -> None:
    make_job()
    make_job(user=owner, origin="eval", run_at=LATER)
    found = rows("aif_choose_others", 99, LOST_AFTER_S, AGAIN_AFTER_S, AGAIN_AFTER_S)
    assert found == []


def test_a_running_evaluation_takes_no_place_of_users(owner: User, make_job: MakeJob) -> None:
    make_job(user=owner, origin="eval", **{**RUNNING, "lease_until": LATER})
    assert rows("aif_out") == [(0,)]
