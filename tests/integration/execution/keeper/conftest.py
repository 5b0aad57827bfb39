"""A keeper for tests, jobs whose calls are never answered, and sessions that hold locks."""

from __future__ import annotations

from collections.abc import Iterator
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
from tests.integration.clock import Clock, clock
from tests.integration.execution.conftest import PATIENCE_S, wait_for
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer

WORKER = "llm@test/1"
LEASE_S = 15.0

ROW = "SELECT 1 FROM aifeature_job WHERE id = %s FOR UPDATE"
GLOBAL_WINDOW = "SELECT 1 FROM aifeature_spendwindow WHERE scope = 'global' FOR UPDATE"
TABLE = "LOCK TABLE aifeature_{} IN ACCESS EXCLUSIVE MODE"
"""Statements for `locked`."""
__all__ = ["clock"]


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
    """The keeper of this process, without a thread: a test calls its beats."""
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
        """Start jobs, and wait until the provider has the call of each."""
        self.sandbox.set_faults({"kind": "slow_first_byte"})
        jobs = [self.make_job() for _ in range(count)]
        self.futures += [self.pool.submit(run, job) for job in jobs]
        wait_for(lambda: len(self.sandbox.calls()) == count)
        return jobs

    def ended(self) -> None:
        """Wait for the threads, and raise their exceptions."""
        for future in self.futures:
            future.result(PATIENCE_S)


@pytest.fixture
def runs(live_prompt: None, make_job: MakeJob, sandbox: SandboxServer) -> Iterator[Runs]:
    with ThreadPoolExecutor(4) as pool:
        yield Runs(make_job, sandbox, pool)


def run(job: Job) -> None:
    try:
        job_run.run_feature(job.pk, worker=WORKER)
    finally:
        connections.close_all()


@contextmanager
def other_session() -> Iterator[psycopg.Connection[Any]]:
    """Another connection to the database."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as session:
        yield session


@contextmanager
def locked(statement: str, *parameters: object) -> Iterator[None]:
    """Let another session hold the locks of this statement while the block runs."""
    with other_session() as session:
        session.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
        session.execute(statement.encode(), parameters)
        try:
            yield
        finally:
            session.execute("ROLLBACK")
