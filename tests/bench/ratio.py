"""The throughput of whole jobs as a share of that of bare calls, with and without a stream."""

from __future__ import annotations

import statistics

from tests.bench import peer
from tests.bench.figures import steady_rate
from tests.bench.load import LIMIT_S, Queue, RunMany, other_database, whole_jobs
from tests.bench.report import Aim, Figure, progress
from tests.bench.sandbox import Sandbox
from tests.bench.stack import Bed, Stack

APP = "project"
WHOLE_APP = "tests.bench.worker_app"
THREADS = 100
LATENCY_S = 0.5
FIRST_BYTE_S = 0.1
JOBS = 700
"""Jobs and calls of one round. Short rounds in turn have the same noise of the machine."""

WARM_UP = 200


def run(stack: Stack, rounds: int) -> Figure:
    return _compare(stack, rounds, "ratio", peer.WHOLE, WHOLE_APP)


def run_stream(stack: Stack, rounds: int) -> Figure:
    return _compare(stack, rounds, "ratio_stream", peer.STREAMED, APP)


def _compare(stack: Stack, rounds: int, name: str, bare_task: str, app: str) -> Figure:
    rates: dict[str, list[float]] = {"bare": [], "job": []}
    with stack.bed(name) as bed:
        sandbox = bed.sandbox(latency_s=LATENCY_S, first_byte_s=FIRST_BYTE_S)
        turns = [("bare", _bare(bed, sandbox, bare_task)), ("job", _whole(bed, sandbox, app))]
        for number in range(rounds + 1):
            for turn, run_many in turns:
                if not number:  # connections, caches, threads
                    run_many(WARM_UP)
                    continue
                rate = steady_rate(run_many(JOBS), THREADS)
                rates[turn].append(rate)
                progress(f"{name}: round {number}: {turn} {rate:.0f}/s")
            turns.reverse()
    pairs = zip(rates["job"], rates["bare"], strict=True)
    values = {
        "bare_per_s": statistics.median(rates["bare"]),
        "job_per_s": statistics.median(rates["job"]),
        "ratio": statistics.median(job / bare for job, bare in pairs),
    }
    note = (
        f"{THREADS} threads, one process, {LATENCY_S} s model: at most {THREADS / LATENCY_S:.0f}/s"
    )
    return Figure(name, values, (Aim("ratio", "at least", 0.8),), note)


def _bare(bed: Bed, sandbox: Sandbox, task: str) -> RunMany:
    url = other_database(bed.redis_url)
    bed.env["PEER_REDIS_URL"] = url
    worker = bed.celery("bare", peer.command(THREADS))
    queue = Queue(url, peer.QUEUE, bed.exits)

    def run_many(count: int) -> list[float]:
        sandbox.clear()
        queue.stage(task, [{"number": number} for number in range(count)])
        queue.hand_over()
        queue.drain(worker, limit_s=LIMIT_S)
        return [call["ended_at"] for call in sandbox.completed(count)]

    return run_many


def _whole(bed: Bed, sandbox: Sandbox, app: str) -> RunMany:
    return whole_jobs(bed, sandbox, bed.worker("job", threads=THREADS, app=app))
