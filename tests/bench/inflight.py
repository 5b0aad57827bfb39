"""The throughput of one worker process with 200 slow calls in flight."""

from __future__ import annotations

import statistics

from tests.bench.figures import steady_rate
from tests.bench.load import RunMany, whole_jobs
from tests.bench.report import Aim, Figure, progress
from tests.bench.stack import Bed, Stack

CONCURRENCY = 200
CALL_S = 2.0
FIRST_BYTE_S = 0.3
POOL = "20"
"""Database connections of the worker: a tenth of its threads, as in production."""

MOST_ROUNDS = 2
WARM_UP = 200
JOBS = 1_200
"""Six waves, of which four are measured."""


def run(stack: Stack, rounds: int) -> Figure:
    """Measure finished calls per second, as a share of the most that their length allows."""
    with stack.bed("inflight") as bed:
        _, run_many = slow_worker(bed)
        run_many(WARM_UP)
        rates = []
        for number in range(1, min(rounds, MOST_ROUNDS) + 1):
            rates.append(steady_rate(run_many(JOBS), CONCURRENCY))
            progress(f"inflight: round {number}: {rates[-1]:.1f}/s")
    per_s, ideal = statistics.median(rates), CONCURRENCY / CALL_S
    values = {
        "concurrency": CONCURRENCY,
        "call_s": CALL_S,
        "per_s": per_s,
        "ideal_per_s": ideal,
        "efficiency": per_s / ideal,
    }
    note = f"one worker process with {CONCURRENCY} threads and {POOL} database connections"
    return Figure("inflight", values, (Aim("efficiency", "at least", 0.95),), note)


def slow_worker(bed: Bed) -> tuple[int, RunMany]:
    """Start a worker with slow calls. Return its process id and a function that runs jobs."""
    sandbox = bed.sandbox(latency_s=CALL_S, first_byte_s=FIRST_BYTE_S)
    bed.env["DATABASE_POOL_SIZE"] = POOL
    worker = bed.worker("job", threads=CONCURRENCY)
    return worker.process.pid, whole_jobs(bed, sandbox, worker)
