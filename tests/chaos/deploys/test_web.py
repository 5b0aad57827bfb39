"""A web server stops while its clients wait for answers."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection

from aifeature.models import Job, Status, transitions
from aifeature.services.streams import writer
from tests.chaos.real_processes import (
    BOUND_S,
    LIMIT_S,
    Processes,
    send_signal,
    start_together,
    wait_for_exit,
    wait_until,
)
from tests.integration.streams.readers import Stream
from tests.integration.streams.web_server import database_url

SOON_S = 20.0
"""Seconds. Less than the wait of a poll and the graceful time-out, which are 30 s."""

pytestmark = pytest.mark.timeout(LIMIT_S)

BEFORE = "The parcel was lost"
AFTER = " and another one is under way."


def test_a_web_server_that_stops_answers_all_requests_in_flight(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = start_together(lambda: processes.web("old"), lambda: processes.web("new"))
    (job,) = processes.queue(1)
    claimed = transitions.claim(job.id, worker="w", lease_s=300)
    assert claimed is not None
    stream = Stream()
    with (
        psycopg.connect(database_url()) as blocker,
        writer.process().open(claimed.job, claimed.epoch, "summary") as out,
        ThreadPoolExecutor(3) as clients,
    ):
        sink = out.sink()
        assert sink is not None
        sink('{"summary": "' + BEFORE)
        reader = clients.submit(old.follow, job, stream)
        wait_until(lambda: stream.text == BEFORE, "the text so far")
        poll = clients.submit(old.job, str(job.id), wait_s=30)
        blocker.execute("LOCK TABLE aifeature_job IN SHARE MODE")  # blocks inserts and updates
        submission = clients.submit(old.submit)
        wait_until(inserting, "the submission to be under way")

        stopped = time.monotonic()
        send_signal(old.child, signal.SIGTERM)
        assert poll.result(timeout=SOON_S).json()["status"] == "running"
        reader.result(timeout=SOON_S)
        polite = time.monotonic() - stopped
        assert not submission.done()
        blocker.rollback()
        accepted = submission.result(timeout=SOON_S)
        wait_for_exit(old.child, within_s=BOUND_S)
        took = time.monotonic() - stopped

        resumed = clients.submit(new.follow, job, stream)
        sink(AFTER)
        # It must get the missing text now: after the job's end a reader may get all text again.
        wait_until(lambda: stream.text == BEFORE + AFTER, "the rest of the text")
        transitions.finish(
            claimed, Status.SUCCEEDED, result={"summary": BEFORE + AFTER, "key_facts": []}
        )
        connection.close()
        resumed.result(timeout=SOON_S)
    with capsys.disabled():
        print(f"\nweb: streams and polls ended {polite:.2f} s after SIGTERM, all in {took:.1f} s")  # noqa: T201
    assert "restarts" in stream.comments[-1]
    assert accepted.status_code == 202
    assert Job.objects.get(pk=accepted.json()["id"]).status == Status.QUEUED
    assert stream.text == BEFORE + AFTER
    assert stream.named("reset") == []
    assert stream.events[-1].name == "result"


def inserting() -> bool:
    """Return whether a session waits to insert a job."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND query LIKE 'SELECT * FROM aif_submit_checked(%%'"
        )
        waiting: int = cursor.fetchone()[0]
    connection.close()
    return waiting > 0
