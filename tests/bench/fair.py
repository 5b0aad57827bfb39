"""The wait of one user's single job behind 5,000 jobs of another user."""

from __future__ import annotations

import time
from uuid import UUID

import psycopg

from tests.bench.figures import percentile
from tests.bench.load import insert_jobs
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.stack import Bed, Stack

QUEUED = 5_000
THREADS = 16
CALL_S = 0.5
LONE_JOBS = 20
EVERY_S = 1.0
PATIENCE_S = 30.0


def run(stack: Stack, _rounds: int) -> Figure:
    """Create one job a second, each of a new user, while one queue keeps all threads busy."""
    with stack.bed("fair") as bed:
        bed.sandbox(latency_s=CALL_S, first_byte_s=0.1)
        bed.worker("job", threads=THREADS)
        bed.control()
        connection = bed.connect()
        heavy, *others = bed.seed.users
        insert_jobs(connection, [heavy], QUEUED, published=False)
        bed.wait(lambda: _running(connection) >= THREADS, "all threads", limit_s=PATIENCE_S)
        lone = []
        for user in others[:LONE_JOBS]:
            lone += insert_jobs(connection, [user], 1, published=False)
            time.sleep(EVERY_S)
        progress(f"fair: {LONE_JOBS} lone jobs behind {QUEUED:,}")
        delays = _delays(bed, connection, lone)
        left = connection.execute(
            "SELECT count(*) FROM aifeature_job WHERE user_id = %s AND status = 'queued'", [heavy]
        ).fetchall()[0][0]
    if not left:
        raise BrokenRunError("the queue of the other user became empty")
    values = {
        "queued": QUEUED,
        "call_s": CALL_S,
        "p50_s": percentile(delays, 50),
        "max_s": max(delays),
    }
    note = f"from the row to the start, while all {THREADS} threads are busy"
    return Figure("fair", values, (Aim("max_s", "at most", CALL_S + 1.0),), note)


def _running(connection: psycopg.Connection) -> int:
    statement = "SELECT count(*) FROM aifeature_job WHERE status = 'running'"
    count: int = connection.execute(statement).fetchall()[0][0]
    return count


def _delays(bed: Bed, connection: psycopg.Connection, jobs: list[UUID]) -> list[float]:
    """Return the seconds from each row to its first claim."""

    def started() -> list[float]:
        rows = connection.execute(
            "SELECT extract(epoch FROM started_at - created_at)::float8 FROM aifeature_job"
            " WHERE id = ANY(%s) AND started_at IS NOT NULL",
            [jobs],
        ).fetchall()
        return [row[0] for row in rows]

    bed.wait(lambda: len(started()) == len(jobs), "all lone jobs to start", limit_s=PATIENCE_S)
    return started()
