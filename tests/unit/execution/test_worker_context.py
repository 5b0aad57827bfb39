"""One context for each worker process, and another one while a test injects it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event

import pytest

from aifeature.services.execution import worker_context
from aifeature.services.execution.worker_context import WorkerContext

THREADS = 8


def test_threads_that_start_together_build_one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[WorkerContext] = []
    start = Barrier(THREADS)

    def build() -> WorkerContext:
        Event().wait(0.05)  # long enough for the other threads to come in, if they could
        built.append(WorkerContext())
        return built[-1]

    def first_use(_: int) -> WorkerContext:
        start.wait()
        return worker_context.current()

    monkeypatch.setattr(worker_context, "_contexts", [])
    monkeypatch.setattr(worker_context, "WorkerContext", build)
    with ThreadPoolExecutor(THREADS) as pool:
        assert {id(context) for context in pool.map(first_use, range(THREADS))} == {id(built[0])}
    assert len(built) == 1


def test_an_injected_context_ends_with_its_block() -> None:
    before = worker_context.current()
    with worker_context.using(replace(before)) as own:
        assert worker_context.current() is own
    assert worker_context.current() is before
