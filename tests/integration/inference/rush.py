"""Ten threads in each of five processes that take at the same moment."""

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

Taker = Callable[[str], Callable[[], bool]]
"""Returns, in each process, a function that takes once and returns whether it was admitted."""


def rush(taker: Taker, url: str, *, each: int) -> list[int]:
    """Return for each process the number of admitted requests, out of `each`."""
    # All processes are forks of one that has imported the code and has no threads.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__, taker.__module__])
    together, answers = server.Barrier(PROCESSES), server.SimpleQueue()
    running = [
        server.Process(target=_run, args=(taker, url, each, together, answers))
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


def _run(taker: Taker, url: str, each: int, together: Barrier, answers: SimpleQueue[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # A busy machine is slow, which must not count as an outage.
        patch.setattr("workers.inference.shared_state.TIMEOUT_S", LIMIT_S)
        take = taker(url)
    threads = threading.Barrier(THREADS)

    def thread(_: int) -> int:
        threads.wait(LIMIT_S)
        return sum(take() for _ in range(each // THREADS))

    with ThreadPoolExecutor(THREADS) as pool:
        together.wait(LIMIT_S)
        answers.put(sum(pool.map(thread, range(THREADS))))
