"""The memory of the worker with 200 calls in flight."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from tests.bench.inflight import CONCURRENCY, slow_worker
from tests.bench.report import Aim, Figure
from tests.bench.stack import Stack

JOBS = 600
MEGABYTE = 1_000_000
EVERY_S = 0.1


def run(stack: Stack, _rounds: int) -> Figure:
    """Measure the highest resident memory of the worker, and that before the first job."""
    with stack.bed("memory") as bed:
        pid, run_many = slow_worker(bed)
        with sampled(psutil.Process(pid)) as samples:
            run_many(JOBS)
    values = {
        "in_flight": CONCURRENCY,
        "rss_mb": max(samples) / MEGABYTE,
        "idle_rss_mb": samples[0] / MEGABYTE,
    }
    note = f"highest RSS of the worker process over {JOBS} jobs, sampled every {EVERY_S} s"
    return Figure("memory", values, (Aim("rss_mb", "at most", 250),), note)


@contextmanager
def sampled(
    *processes: psutil.Process, of: Callable[[psutil.Process], int] = lambda p: p.memory_info().rss
) -> Iterator[list[int]]:
    """Yield samples of the largest value of the processes: one now, others while the block runs.

    The value is their resident bytes by default.
    """
    samples = [max(map(of, processes))]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(EVERY_S):
            samples.append(max(map(of, processes)))

    thread = threading.Thread(target=sample, name="samples")
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
