"""Transactions that stay open side by side, and the rows that all of them have committed."""

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
"""Longest time a call may stay undecided: neither answered nor waiting for an open transaction."""

Answer = list[tuple[Any, ...]]


@dataclass
class Lane:
    """One connection; a call and its transaction, while there is one."""

    connection: psycopg.Connection[tuple[Any, ...]]
    thread: ThreadPoolExecutor
    call: Call | None = None
    now: datetime | None = None
    before: World = field(default_factory=dict)
    """What was committed when the call was sent."""
    locked_before: frozenset[Key] = frozenset()
    """What the others had locked then."""
    answer: Future[Answer] | None = None
    """While the call is under way."""
    reach: set[Key] = field(default_factory=set)
    """Locks it may hold while it waits for another."""
    view: View | None = None
    """What it did, once it has answered."""

    @property
    def pid(self) -> int:
        return self.connection.info.backend_pid

    @property
    def is_idle(self) -> bool:
        return self.call is None

    @property
    def is_open(self) -> bool:
        """Answered, and neither committed nor rolled back."""
        return self.view is not None

    @property
    def is_under_way(self) -> bool:
        return self.answer is not None

    def send(self, call: Call, *, now: datetime, world: World, locked: frozenset[Key]) -> None:
        """Start a call in a new transaction; `Lanes.answered` tells what becomes of it."""
        self.call, self.now, self.before, self.locked_before = call, now, dict(world), locked
        self.connection.execute(f"BEGIN; SET LOCAL fake_clock.now = '{now.isoformat()}'".encode())
        statement, parameters = call.statement(now)
        self.answer = self.thread.submit(self._fetch, statement.encode(), parameters)

    def _fetch(self, statement: bytes, parameters: tuple[Any, ...]) -> Answer:
        return self.connection.execute(statement, parameters).fetchall()

    def end(self, how: str) -> None:
        """COMMIT or ROLLBACK."""
        self.connection.execute(how.encode())
        self.call = self.now = self.view = None
        self.before, self.reach = {}, set()


class Lanes:
    """All connections of one machine. Kept from one example to the next."""

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
        """Leave every transaction, whatever state a failure left it in."""
        while busy := [lane for lane in self.all if not lane.is_idle]:
            for lane in busy:
                if lane.answer is None or lane.answer.done():
                    lane.answer = None
                    lane.end("ROLLBACK")
            # The others waited for those.
            wait(
                [lane.answer for lane in busy if lane.answer],
                timeout=TIMEOUT_S,
                return_when=FIRST_COMPLETED,
            )

    def reset(self) -> None:
        """Empty the tables for the next example."""
        self.observer.execute(
            "SET aifeature.may_truncate = 'yes';"
            " TRUNCATE aifeature_attempt, aifeature_job, aifeature_spendwindow,"
            " aifeature_dispatchturn, aifeature_worker;"
            " UPDATE aifeature_featurecontrol SET killed = false, kill_mode = 'hold'"
        )

    def answered(self) -> list[tuple[Lane, Answer | psycopg.Error]]:
        """Wait until each call under way has answered or waits for an open transaction.

        Returns:
            Those that have answered now.

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
        """Everything that is committed, as the model names it."""
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
