"""How much memory the worker takes with 200 calls in flight."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.bench.inflight import CONCURRENCY, slow_worker
from tests.bench.report import Aim, Figure
from tests.bench.stack import Stack

JOBS = 600
MEGABYTE = 1_000_000
EVERY_S = 0.1


def run(stack: Stack, _rounds: int) -> Figure:
    """The resident memory of the worker process at its highest, and before the first job."""
    with stack.bed("memory") as bed:
        pid, run_many = slow_worker(bed)
        with sampled(pid) as samples:
            run_many(JOBS)
    values = {
        "in_flight": CONCURRENCY,
        "rss_mb": max(samples) / MEGABYTE,
        "idle_rss_mb": samples[0] / MEGABYTE,
    }
    note = f"RSS of the worker process over {JOBS} jobs, the highest of samples {EVERY_S} s apart"
    return Figure("memory", values, (Aim("rss_mb", "at most", 250),), note)


@contextmanager
def sampled(pid: int) -> Iterator[list[int]]:
    """Resident bytes of a process: now, and then again and again while the block runs."""
    process = psutil.Process(pid)
    samples = [process.memory_info().rss]
    done = threading.Event()

    def look() -> None:
        while not done.wait(EVERY_S):
            samples.append(process.memory_info().rss)

    thread = threading.Thread(target=look, name="memory")
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
