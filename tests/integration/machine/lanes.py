"""Concurrent transactions that stay open, and the committed rows."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Final

import psycopg

from tests import books
from tests.integration.machine.calls import Call
from tests.integration.machine.rows import QUERIES, JobRow, Key, KeyRow, Row, World, key_of
from tests.integration.machine.view import View

LANES: Final = 4
TIMEOUT_S: Final = 20.0
"""Seconds after which a call must have answered or wait for an open transaction."""

Answer = list[tuple[Any, ...]]


@dataclass
class Lane:
    """One connection, with its current call and transaction."""

    connection: psycopg.Connection[tuple[Any, ...]]
    thread: ThreadPoolExecutor
    call: Call | None = None
    now: datetime | None = None
    before: World = field(default_factory=dict)
    """The rows that were committed when the call was sent."""
    locked_before: frozenset[Key] = frozenset()
    """The rows that other transactions had locked then."""
    answer: Future[Answer] | None = None
    """Set until the call has answered."""
    reach: set[Key] = field(default_factory=set)
    """Locks that it may hold while it waits for another."""
    view: View | None = None
    """Its reads and writes, once it has answered."""

    @property
    def pid(self) -> int:
        return self.connection.info.backend_pid

    @property
    def is_idle(self) -> bool:
        return self.call is None

    @property
    def is_open(self) -> bool:
        """Whether it has answered and is neither committed nor rolled back."""
        return self.view is not None

    @property
    def is_under_way(self) -> bool:
        return self.answer is not None

    def send(self, call: Call, *, now: datetime, world: World, locked: frozenset[Key]) -> None:
        """Start a call in a new transaction. `Lanes.answered` returns its answer."""
        self.call, self.now, self.before, self.locked_before = call, now, dict(world), locked
        self.connection.execute(f"BEGIN; SET LOCAL fake_clock.now = '{now.isoformat()}'".encode())
        statement, parameters = call.statement(now)
        self.answer = self.thread.submit(self._fetch, statement.encode(), parameters)

    def _fetch(self, statement: bytes, parameters: tuple[Any, ...]) -> Answer:
        return self.connection.execute(statement, parameters).fetchall()

    def end(self, how: str) -> None:
        self.connection.execute(how.encode())
        self.call = self.now = self.view = None
        self.before, self.reach = {}, set()


class Lanes:
    """All connections of the machine. All examples use them."""

    def __init__(self, url: str) -> None:
        options = f"-c statement_timeout={TIMEOUT_S:.0f}s"
        self.all = [
            Lane(psycopg.connect(url, autocommit=True, options=options), ThreadPoolExecutor(1))
            for _ in range(LANES)
        ]
        self.observer = psycopg.connect(url, autocommit=True, options=options)

    def close(self) -> None:
        self.clear()
        for lane in self.all:
            lane.thread.shutdown()
            lane.connection.close()
        self.observer.close()

    def clear(self) -> None:
        """Roll back every transaction, also after a failure."""
        while busy := [lane for lane in self.all if not lane.is_idle]:
            for lane in busy:
                if lane.answer is None or lane.answer.done():
                    lane.answer = None
                    lane.end("ROLLBACK")
            # The other calls waited for those.
            wait(
                [lane.answer for lane in busy if lane.answer],
                timeout=TIMEOUT_S,
                return_when=FIRST_COMPLETED,
            )

    def reset(self) -> None:
        """Empty the tables for the next example, without their triggers and foreign keys.

        TRUNCATE would create new files for each table and each index.
        """
        self.observer.execute(
            "SET LOCAL session_replication_role = replica;"
            " DELETE FROM aifeature_attempt; DELETE FROM aifeature_job;"
            " DELETE FROM aifeature_spendwindow; DELETE FROM aifeature_dispatchturn;"
            " DELETE FROM aifeature_worker;"
            " UPDATE aifeature_featurecontrol SET killed = false, kill_mode = 'hold'"
        )

    def answered(self) -> list[tuple[Lane, Answer | psycopg.Error]]:
        """Wait until each call has answered or waits for an open transaction; return the answers.

        Raises:
            TimeoutError: a call does neither.
        """
        give_up = time.monotonic() + TIMEOUT_S
        wait([lane.answer for lane in self.all if lane.answer], timeout=0.002)
        while waiting := [lane for lane in self.all if lane.answer and not lane.answer.done()]:
            if self._all_wait_for_open_ones(waiting):
                break
            if time.monotonic() > give_up:
                raise TimeoutError(f"undecided after {TIMEOUT_S} s: {waiting}")
        return [(lane, _answer(lane)) for lane in self.all if lane.answer and lane.answer.done()]

    def rows(self) -> dict[Key, Row]:
        """Return all committed rows by their keys in the model."""
        found: list[Row] = [*chain(*books.read(self.observer, QUERIES).values())]
        keys = [KeyRow(r.user, r.key, r.id) for r in found if isinstance(r, JobRow) and r.key]
        return {key_of(row): row for row in [*found, *keys]}

    def _all_wait_for_open_ones(self, waiting: list[Lane]) -> bool:
        blockers: dict[int, list[int]] = dict(
            self.observer.execute(
                b"SELECT pid, pg_blocking_pids(pid) FROM unnest(%s::int[]) AS pid",
                ([lane.pid for lane in waiting],),
                prepare=True,
            ).fetchall()
        )
        stuck = {lane.pid for lane in self.all if not lane.is_idle} - blockers.keys()
        while more := {
            pid for pid, others in blockers.items() if pid not in stuck and stuck & set(others)
        }:
            stuck |= more
        return stuck >= blockers.keys()


def _answer(lane: Lane) -> Answer | psycopg.Error:
    assert lane.answer is not None
    error = lane.answer.exception()
    result = error if isinstance(error, psycopg.Error) else lane.answer.result()
    lane.answer = None
    return result
