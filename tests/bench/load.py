"""Work to be done: the document, jobs in the database, messages that appear all at once."""

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
"""Runs that many of something and returns when each ended, in seconds since the epoch."""

LIMIT_S = 90.0
"""Longest one round may take."""

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


def insert_jobs(connection: psycopg.Connection, users: Sequence[int], count: int) -> list[UUID]:
    """Insert queued jobs, spread over the users, as `services.jobs.submit` would."""
    jobs = [uuid4() for _ in range(count)]
    columns = "id, user_id, feature, status, input, deadline_at, published_at"
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO aifeature_job ({columns})"  # noqa: S608 (our names)
            " VALUES (%s, %s, %s, 'queued', %s, now() + interval '300 s', now())",
            [(job, users[n % len(users)], FEATURE, _PAYLOAD) for n, job in enumerate(jobs)],
        )
    return jobs


class Queue:
    """A Celery queue that is filled out of sight and handed over in one moment."""

    def __init__(self, url: str, name: str, exits: ExitStack) -> None:
        """Prepare to fill the queue of this name on this broker."""
        self._client = exits.enter_context(redis.Redis.from_url(url, socket_timeout=10))
        self._name = name
        self._staged = f"staged-{name}"
        self._app = exits.enter_context(Celery("bench-load", broker=url, set_as_current=False))

    def send(self, task: str, kwargs: Mapping[str, Any]) -> None:
        """Send one message at once."""
        with self._app.producer_or_acquire() as producer:
            self._app.send_task(task, kwargs=dict(kwargs), queue=self._name, producer=producer)

    def stage(self, task: str, arguments: Sequence[Mapping[str, Any]]) -> None:
        """Serialise one message for each, where no worker looks yet."""
        with self._app.producer_or_acquire() as producer:
            for kwargs in arguments:
                self._app.send_task(
                    task, kwargs=dict(kwargs), queue=self._staged, producer=producer
                )

    def hand_over(self) -> None:
        """Let the workers see everything staged, in one moment."""
        self._client.rename(self._staged, self._name)

    def drain(self, worker: Child, *, limit_s: float) -> None:
        """Wait until every message was taken and acknowledged, which is when its task ended.

        Raises:
            BrokenRunError: it takes longer than the limit.
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
    """Runs that many jobs through a worker of ours and returns when each was finished."""
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
    """The same Redis, another of its databases."""
    return f"{redis_url.rpartition('/')[0]}/1"


def finished(connection: psycopg.Connection, jobs: Sequence[UUID]) -> list[float]:
    """When each job ended, in seconds since the epoch.

    Raises:
        BrokenRunError: one has not succeeded, or made more than one call.
    """
    rows = connection.execute(
        "SELECT status, attempts, extract(epoch FROM finished_at)::float8 FROM aifeature_job"
        " WHERE id = ANY(%s)",
        [list(jobs)],
    ).fetchall()
    bad = [row for row in rows if row[:2] != ("succeeded", 1)]
    if bad or len(rows) != len(jobs):
        raise BrokenRunError(f"{len(rows)} of {len(jobs)} jobs are there; not as wanted: {bad[:5]}")
    return [row[2] for row in rows]
