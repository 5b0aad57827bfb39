"""The load: a document, jobs in the database, and messages that appear together."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import psycopg
import redis
from celery import Celery

from project.stack.children import Child
from tests.bench.report import BrokenRunError
from tests.bench.sandbox import Sandbox
from tests.bench.stack import Bed

RunMany = Callable[[int], list[float]]
"""Runs a number of jobs or calls. Returns the end of each, in seconds since the epoch."""

LIMIT_S = 90.0
"""Longest duration of one round."""

FEATURE = "summarize"
DOCUMENT = """Subject: Two invoices for one course (ticket 48213)

Anna Berg wrote on 3 March 2026: I bought the course on statistics for 49 euros and was sent two
invoices, numbers 2026-1187 and 2026-1188. My bank shows two payments.

Tom Weiss of the help desk answered on 4 March: the second payment was made by a retry of our
payment form, which sent the order again after 30 seconds without an answer.

He cancelled invoice 2026-1188 and ordered a refund of 49 euros. It reaches the account within 30
days. The form has been changed so that an order is sent once.

Anna Berg confirmed on 19 March that the money had arrived, and asked whether the certificate of
the course stays valid. Tom Weiss said that it does, for two years."""

_PAYLOAD = json.dumps({"document": DOCUMENT})
_POLL_S = 0.1


def insert_jobs(
    connection: psycopg.Connection, users: Sequence[int], count: int, *, published: bool = True
) -> list[UUID]:
    """Insert queued jobs, spread over the users, as `services.jobs.submit` would.

    With `published` no process publishes them, since they count as published.
    """
    jobs = [uuid4() for _ in range(count)]
    columns = "id, user_id, feature, status, input, deadline_at, published_at"
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO aifeature_job ({columns})"  # noqa: S608 (our names)
            " VALUES (%s, %s, %s, 'queued', %s, now() + interval '300 s',"
            " CASE WHEN %s THEN now() END)",
            [
                (job, users[n % len(users)], FEATURE, _PAYLOAD, published)
                for n, job in enumerate(jobs)
            ],
        )
    return jobs


def wait_until_ended(bed: Bed, connection: psycopg.Connection, *, limit_s: float) -> None:
    """Wait until no job is queued or running."""
    query = "SELECT FROM aifeature_job WHERE status IN ('queued', 'running') LIMIT 1"
    bed.wait(lambda: not connection.execute(query).fetchall(), "all jobs to end", limit_s=limit_s)


class Queue:
    """A Celery queue whose messages workers get all at the same time."""

    def __init__(self, url: str, name: str, exits: ExitStack) -> None:
        self._client = exits.enter_context(redis.Redis.from_url(url, socket_timeout=10))
        self._name = name
        self._staged = f"staged-{name}"
        self._app = exits.enter_context(Celery("bench-load", broker=url, set_as_current=False))

    def send(self, task: str, kwargs: Mapping[str, Any]) -> None:
        """Send one message immediately."""
        with self._app.producer_or_acquire() as producer:
            self._app.send_task(task, kwargs=dict(kwargs), queue=self._name, producer=producer)

    def stage(self, task: str, arguments: Sequence[Mapping[str, Any]]) -> None:
        """Serialise one message for each, in a queue without a worker."""
        with self._app.producer_or_acquire() as producer:
            for kwargs in arguments:
                self._app.send_task(
                    task, kwargs=dict(kwargs), queue=self._staged, producer=producer
                )

    def hand_over(self) -> None:
        """Give all staged messages to the workers."""
        self._client.rename(self._staged, self._name)

    def drain(self, worker: Child, *, limit_s: float) -> None:
        """Wait until every message is acknowledged, so that its task has ended.

        Raises BrokenRunError after the limit.
        """
        until = time.monotonic() + limit_s
        while left := self._left():
            worker.check()
            if time.monotonic() > until:
                raise BrokenRunError(f"{left} tasks had not ended after {limit_s:.0f} s")
            time.sleep(_POLL_S)

    def _left(self) -> int:
        with self._client.pipeline() as pipe:  # a transaction: a message moves between the two
            waiting, taken = pipe.llen(self._name).hlen("unacked").execute()
        return int(waiting) + int(taken)


def whole_jobs(bed: Bed, sandbox: Sandbox, worker: Child) -> RunMany:
    """Return a function that runs jobs on a worker of ours."""
    connection = bed.connect()
    queue = Queue(bed.redis_url, "llm", bed.exits)

    def run_many(count: int) -> list[float]:
        sandbox.clear()
        jobs = insert_jobs(connection, bed.seed.users, count)
        queue.stage("llm.run_job", [{"job_id": str(job)} for job in jobs])
        queue.hand_over()
        queue.drain(worker, limit_s=LIMIT_S)
        sandbox.completed(count)
        return finished(connection, jobs)

    return run_many


def other_database(redis_url: str) -> str:
    """Return the URL of another database of the same Redis."""
    return f"{redis_url.rpartition('/')[0]}/1"


def finished(connection: psycopg.Connection, jobs: Sequence[UUID]) -> list[float]:
    """Return the end of each job, in seconds since the epoch.

    Raises BrokenRunError if one has not succeeded, or made more than one call.
    """
    rows = connection.execute(
        "SELECT status, attempts, extract(epoch FROM finished_at)::float8 FROM aifeature_job"
        " WHERE id = ANY(%s)",
        [list(jobs)],
    ).fetchall()
    bad = [row for row in rows if row[:2] != ("succeeded", 1)]
    if bad or len(rows) != len(jobs):
        raise BrokenRunError(f"{len(rows)} of {len(jobs)} jobs exist; wrong ones: {bad[:5]}")
    return [row[2] for row in rows]
