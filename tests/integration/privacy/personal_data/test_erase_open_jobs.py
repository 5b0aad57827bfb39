"""An erasure first ends the open jobs of the person, and no worker writes them again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.db import connection

from aifeature.models import Attempt, AttemptState, Job, Status, transitions
from aifeature.models.transitions import FencedError, Settlement
from aifeature.services.execution import job_run
from aifeature.services.jobs import lifecycle
from aifeature.services.jobs.refusals import NotFound
from aifeature.services.privacy import closing, erasure
from tests.integration.conftest import wait_until_blocked
from tests.integration.job_rows import MakeJob, begin, claim
from tests.integration.privacy.personal_data.conftest import NAME, SAID
from tests.integration.privacy.personal_data.erasing import CASE, run, whole_database
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
"""Seconds to wait for a result that needs milliseconds."""


def test_a_waiting_job_is_cancelled_and_erased(ada: User, make_job: MakeJob) -> None:
    waiting, in_review = make_job(), make_job(status="needs_approval", result={"summary": SAID})
    run()
    for job in (waiting, in_review):
        job.refresh_from_db()
        assert (job.status, job.input, job.result) == (Status.CANCELLED, None, None)


def test_a_running_job_stops_first(ada: User, make_job: MakeJob, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "slow_first_byte", "seconds": 30})
    job = make_job()
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(work, job)
        while not sandbox.calls():
            assert not running.done()
        run()
        running.result(PATIENCE_S)
    job.refresh_from_db()
    assert (job.status, job.input) == (Status.CANCELLED, None)
    assert Attempt.objects.get().request is None


def work(job: Job) -> None:
    try:
        job_run.run_feature(job.pk, worker="w")
    finally:
        connection.close()


def test_while_a_job_runs_on_nothing_is_erased(ada: User, make_job: MakeJob) -> None:
    job = make_job()
    claim(job)
    with pytest.raises(CommandError, match=r"1 jobs have not ended after 0 s.*same command again"):
        run(NAME, "--wait", "0")
    job.refresh_from_db()
    assert job.input is not None
    ada.refresh_from_db()
    assert (ada.username, ada.is_active) == (NAME, False), "closed, and found by its name again"
    with pytest.raises(erasure.ErasureError, match="has not ended"):
        erasure.erase(ada, reason=CASE, report=print)


def test_the_wait_is_bounded_by_its_clock(ada: User, make_job: MakeJob) -> None:
    claim(make_job(), lease_s=600)  # it lasts, however long 120 looks take
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    with pytest.raises(closing.StillRunningError):
        closing.end_jobs(ada, wait_s=60, report=print, clock=lambda: now[0], sleep=sleep)
    assert sum(slept) == 60


def test_running_jobs_are_reported_once_and_waited_for(ada: User, make_job: MakeJob) -> None:
    job = make_job()
    lease, told, slept = claim(job), list[str](), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            transitions.finish(lease, Status.CANCELLED)

    closing.end_jobs(ada, wait_s=60, report=told.append, sleep=sleep)
    assert (told, len(slept)) == (["Waiting for 1 running jobs to end."], 3)
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


def test_a_zombie_cannot_write_content_back(ada: User, make_job: MakeJob) -> None:
    """A worker that was frozen in a call, past its lease, while the person was erased."""
    job = make_job()
    zombie = claim(job, "zombie", lease_s=-1)
    first = begin(zombie)
    run(NAME, "--wait", "10")
    job.refresh_from_db()
    assert (job.status, job.input) == (Status.CANCELLED, None)
    assert Attempt.objects.get().request is None
    before = whole_database()
    told = Settlement(attempt=first, state=AttemptState.SETTLED, output=SAID, error_detail=SAID)
    result = {"summary": SAID}
    with pytest.raises(FencedError):
        transitions.finish(zombie, Status.SUCCEEDED, result=result, settlement=told)
    with pytest.raises(FencedError):
        transitions.settle(zombie, told)
    with pytest.raises(FencedError):
        transitions.return_to_queue(
            zombie, delay_s=0, counts_as_try=False, message=SAID, settlement=told
        )
    with pytest.raises(FencedError):
        begin(zombie)
    assert transitions.claim(job.pk, worker="late", lease_s=15) is None
    assert whole_database() == before
    assert SAID not in before


@pytest.fixture
def closer(ada: User) -> Any:
    """Another process that is closing the account and has not committed yet."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT 1 FROM auth_user WHERE id = %s FOR UPDATE", [ada.pk])
        other.execute("UPDATE auth_user SET is_active = false WHERE id = %s", [ada.pk])
        yield other


@pytest.mark.parametrize("commits", [True, False])
def test_a_request_that_was_let_in_before_is_refused_once_the_account_is_closed(
    ada: User, opened: None, closer: psycopg.Connection[Any], commits: bool
) -> None:
    def submit() -> Job:
        try:
            return lifecycle.submit(user=ada, slug="summarize", data={"document": SAID}).job
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(submit)
        wait_until_blocked()
        closer.commit() if commits else closer.rollback()
        if commits:
            with pytest.raises(NotFound):
                late.result(PATIENCE_S)
        else:
            assert late.result(PATIENCE_S).status == Status.QUEUED
    assert Job.objects.exists() is not commits


def test_a_job_that_is_being_inserted_is_erased_too(ada: User, make_job: MakeJob) -> None:
    inserted, go = threading.Event(), threading.Event()

    def insert() -> None:
        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute(
                "INSERT INTO aifeature_job (id, user_id, feature, status, input, deadline_at)"
                " VALUES (gen_random_uuid(), %s, 'summarize', 'queued', '{\"x\": 1}', now())",
                [ada.pk],
            )
            inserted.set()
            assert go.wait(PATIENCE_S)

    with ThreadPoolExecutor(2) as threads:
        late = threads.submit(insert)
        assert inserted.wait(PATIENCE_S)
        erasing = threads.submit(run)
        wait_until_blocked()
        go.set()
        late.result(PATIENCE_S)
        erasing.result(PATIENCE_S)
    job = Job.objects.get()
    assert (job.status, job.input) == (Status.CANCELLED, None)
