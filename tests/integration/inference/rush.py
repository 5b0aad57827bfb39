"""Many ask at the same moment: ten threads in each of five processes."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import Final

import pytest

PROCESSES: Final = 5
THREADS: Final = 10
LIMIT_S: Final = 60.0

Ask = Callable[[str], Callable[[], bool]]
"""Makes, in each process, what one thread asks; it tells whether it was let in."""


def rush(ask: Ask, url: str, *, each: int) -> list[int]:
    """How many of `each` requests per process were let in, for each process."""
    spawn = multiprocessing.get_context("spawn")
    together, answers = spawn.Barrier(PROCESSES), spawn.SimpleQueue()
    running = [
        spawn.Process(target=_run, args=(ask, url, each, together, answers))
        for _ in range(PROCESSES)
    ]
    for process in running:
        process.start()
    try:
        found = [answers.get() for _ in running]
    finally:
        for process in running:
            process.join(LIMIT_S)
    return found


def _run(ask: Ask, url: str, each: int, together: Barrier, answers: SimpleQueue[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # So many at once on a busy machine are slow, and must not pass for an outage.
        patch.setattr("workers.inference.shared_state.TIMEOUT_S", LIMIT_S)
        asks = ask(url)
    threads = threading.Barrier(THREADS)

    def thread(_: int) -> int:
        threads.wait(LIMIT_S)
        return sum(asks() for _ in range(each // THREADS))

    with ThreadPoolExecutor(THREADS) as pool:
        together.wait(LIMIT_S)
        answers.put(sum(pool.map(thread, range(THREADS))))
