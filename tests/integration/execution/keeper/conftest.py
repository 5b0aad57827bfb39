"""A keeper of the test's own, jobs whose calls are never answered, and sessions that hold locks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from aifeature.models import Job
from aifeature.services.execution import job_run, worker_context
from aifeature.services.execution.lease import LeaseKeeper
from aifeature.services.execution.worker_context import WorkerContext
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer

WORKER = "llm@test/1"
LEASE_S = 15.0
PATIENCE_S = 30.0
"""How long a test waits for what should come at once."""


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def beating(committed: None, context: WorkerContext) -> Iterator[LeaseKeeper]:
    """The keeper of this process, with its thread."""
    keeper = LeaseKeeper(LEASE_S)
    with worker_context.using(replace(context, keeper=keeper)):
        yield keeper
    keeper.leave()


@pytest.fixture
def keeper(
    committed: None, context: WorkerContext, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> Iterator[LeaseKeeper]:
    """The keeper of this process, which beats when a test says so."""
    keeper = LeaseKeeper(LEASE_S, clock=clock)
    monkeypatch.setattr(keeper._loop, "wake", lambda: None)
    with worker_context.using(replace(context, keeper=keeper)):
        yield keeper
    keeper._session.close()


@dataclass
class Runs:
    """Jobs that run, each in a thread of its own."""

    make_job: MakeJob
    sandbox: SandboxServer
    pool: ThreadPoolExecutor
    futures: list[Future[None]] = field(default_factory=list)

    def in_flight(self, count: int) -> list[Job]:
        """Start so many, and wait until the provider has the call of each."""
        self.sandbox.set_faults({"kind": "slow_first_byte"})
        jobs = [self.make_job() for _ in range(count)]
        self.futures += [self.pool.submit(run, job) for job in jobs]
        wait_for(lambda: len(self.sandbox.calls()) == count)
        return jobs

    def ended(self) -> None:
        """Wait for the threads; what one raised is raised."""
        for future in self.futures:
            future.result(PATIENCE_S)


@pytest.fixture
def runs(make_job: MakeJob, sandbox: SandboxServer) -> Iterator[Runs]:
    with ThreadPoolExecutor(4) as pool:
        yield Runs(make_job, sandbox, pool)


def run(job: Job) -> None:
    try:
        job_run.run_feature(job.pk, worker=WORKER)
    finally:
        connections.close_all()


@contextmanager
def other_session() -> Iterator[psycopg.Connection[Any]]:
    """Somebody else's connection."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as session:
        yield session


@contextmanager
def locked(statement: str, *parameters: object) -> Iterator[None]:
    """Another session holds what this statement locks while the block runs."""
    with other_session() as session:
        session.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
        session.execute(statement.encode(), parameters)
        try:
            yield
        finally:
            session.execute("ROLLBACK")


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.01)
