"""The connection pool on a real PostgreSQL, with a clock that the test sets."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, LiteralString

import psycopg
import pytest
from django.db import OperationalError, connection

from project.database import pool as pool_module
from project.database.pool import (
    MAX_IDLE_S,
    MAX_LIFETIME_S,
    REPLACE_EVERY_S,
    Connection,
    Pool,
    PoolBusyError,
)
from project.stack.signals import wait_until


class Clock:
    """Stands still until the test sets it forward, so a slow machine changes no result.

    Threads that wait in the pool use the real clock.
    """

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return self.ahead


class Server:
    """Connects and counts. It can be unavailable."""

    def __init__(self, clock: Clock, parameters: dict[str, Any]) -> None:
        self.connects = 0
        self.away_s: float | None = None
        """Seconds until a connect fails. None: connects succeed."""
        self._clock = clock
        self._parameters = parameters

    def __call__(self) -> Connection:
        self.connects += 1
        if self.away_s is not None:
            self._clock.ahead += self.away_s
            raise psycopg.OperationalError("connection refused")
        return psycopg.connect(**self._parameters, autocommit=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock, db: None) -> Server:
    return Server(clock, connection.get_connection_params())


@pytest.fixture
def pool(server: Server, clock: Clock) -> Iterator[Pool]:
    pool = Pool(server, max_size=2, timeout=0.2, clock=clock)
    yield pool
    pool.close()
    assert pool.size == 0


def works(found: Connection) -> bool:
    return found.execute("SELECT 1").fetchone() == (1,)


def end_backend(found: Connection) -> None:
    """Do what a restart of the server does to an idle connection."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        pid = found.info.backend_pid
        ended = other.execute("SELECT pg_terminate_backend(%s, 60000)", [pid]).fetchone()
    assert ended == (True,)


def test_connection_is_used_again(pool: Pool, server: Server) -> None:
    for _ in range(3):
        found = pool.getconn()
        assert works(found)
        pool.putconn(found)
    assert (server.connects, pool.size) == (1, 1)


def test_connection_without_autocommit_is_discarded(pool: Pool, server: Server) -> None:
    found = pool.getconn()
    found.autocommit = False
    pool.putconn(found)
    assert found.closed
    fresh = pool.getconn()
    assert fresh.autocommit
    pool.putconn(fresh)
    assert server.connects == 2


def test_connection_in_use_for_a_moment_is_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "GROW_S", 20.0)  # a long moment
    pool = Pool(server, max_size=2, timeout=20)
    held = pool.getconn()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.getconn)
        assert not wait([waiting], timeout=0.1).done
        pool.putconn(held)
        assert waiting.result(20) is held
    pool.putconn(held)
    assert server.connects == 1
    pool.close()


def test_threads_are_served_in_order(server: Server) -> None:
    pool = Pool(server, max_size=1, timeout=20)
    held = pool.getconn()
    order: list[int] = []

    def use(number: int) -> None:
        found = pool.getconn()
        order.append(number)
        pool.putconn(found)

    with ThreadPoolExecutor(5) as threads:
        for number in range(5):
            threads.submit(use, number)
            until_waiting(pool, number + 1)
        pool.putconn(held)
        use(5)  # begins last, and runs already while the others must wake up
    assert order == [0, 1, 2, 3, 4, 5]
    assert server.connects == 1
    pool.close()


def test_waiting_thread_replaces_a_lost_connection(server: Server) -> None:
    pool = Pool(server, max_size=1, timeout=20)
    held = pool.getconn()
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(pool.getconn)]
        until_waiting(pool, 1)
        waiting.append(threads.submit(pool.getconn))
        until_waiting(pool, 2)
        held.close()
        pool.putconn(held)
        first = waiting[0].result(20)
        assert works(first)
        pool.putconn(first)
        assert waiting[1].result(20) is first
    pool.putconn(first)
    assert (server.connects, pool.size) == (2, 1)
    pool.close()


def until_waiting(pool: Pool, count: int) -> None:
    give_up = time.monotonic() + 20
    while len(pool._waiters) < count:
        assert time.monotonic() < give_up
        time.sleep(0.001)


def test_pool_grows_when_connections_stay_in_use(pool: Pool, server: Server) -> None:
    held = pool.getconn()
    other = pool.getconn()
    assert server.connects == 2
    pool.putconn(held)
    pool.putconn(other)


def test_busy_pool_is_waited_for_and_the_error_names_the_setting(pool: Pool) -> None:
    first, second = pool.getconn(), pool.getconn()
    with pytest.raises(PoolBusyError, match=r"all 2 .* DATABASE_POOL_SIZE"):
        pool.getconn()
    pool._timeout_s = 20
    threading.Timer(0.05, pool.putconn, [first]).start()
    assert pool.getconn() is first
    pool.putconn(first)
    pool.putconn(second)


def test_connection_that_the_server_ended_is_not_returned(pool: Pool, server: Server) -> None:
    found = [pool.getconn(), pool.getconn()]
    for each in found:
        pool.putconn(each)
    for each in found:
        end_backend(each)
    found = [pool.getconn(), pool.getconn()]
    assert all(works(each) for each in found)
    assert (server.connects, pool.size) == (4, 2)
    for each in found:
        pool.putconn(each)


@pytest.mark.parametrize("before", ["SELECT 1", "BEGIN"])
def test_connection_that_broke_in_use_leaves_its_place(pool: Pool, before: LiteralString) -> None:
    found = pool.getconn()
    found.execute(before)
    end_backend(found)
    if before == "BEGIN":  # the client has not noticed it yet
        pool.putconn(found)
        assert pool.size == 0
        return
    with pytest.raises(psycopg.OperationalError):
        found.execute("SELECT 1")
    pool.putconn(found)
    assert pool.size == 0


def test_open_transaction_is_rolled_back(pool: Pool, server: Server) -> None:
    found = pool.getconn()
    found.execute("BEGIN")
    found.execute("CREATE TABLE left_over (id int)")
    pool.putconn(found)
    found = pool.getconn()
    assert found.execute("SELECT to_regclass('left_over')").fetchone() == (None,)
    pool.putconn(found)
    assert server.connects == 1


def test_connection_that_is_not_returned_ends(pool: Pool, server: Server) -> None:
    """Its thread may have died. Otherwise its locks would stay."""
    found = pool.getconn()
    backend = found.info.backend_pid
    del found
    gc.collect()
    ended = "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = %s)"
    with server() as other:
        assert wait_until(
            lambda: other.execute(ended, [backend]).fetchone() == (True,), timeout_s=20
        )
    pool._free_place()


@pytest.mark.parametrize("later_s", [MAX_IDLE_S, MAX_LIFETIME_S])
def test_old_connection_is_replaced(
    pool: Pool, server: Server, clock: Clock, later_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if later_s == MAX_LIFETIME_S:
        monkeypatch.setattr("project.database.pool.MAX_IDLE_S", 2 * MAX_LIFETIME_S)
    pool.putconn(pool.getconn())
    clock.ahead += later_s
    found = pool.getconn()
    assert works(found)
    assert (server.connects, pool.size) == (2, 1)
    pool.putconn(found)


def test_unneeded_connection_is_closed(pool: Pool, clock: Clock) -> None:
    found = [pool.getconn(), pool.getconn()]
    for each in found:
        pool.putconn(each)
    for _ in range(2):
        clock.ahead += MAX_IDLE_S * 0.6
        used = pool.getconn()
        pool.putconn(used)
    assert pool.size == 1
    assert used is found[1]
    assert found[0].closed


def test_outage_and_its_end_are_noticed_immediately(
    pool: Pool, server: Server, clock: Clock
) -> None:
    server.away_s = 0.0
    for _ in range(5):
        with pytest.raises(psycopg.OperationalError, match="refused"):
            pool.getconn()
        clock.ahead += 0.01
    assert (server.connects, pool.size) == (5, 0)
    server.away_s = None
    pool.putconn(pool.getconn())


def test_slow_failure_to_connect_is_shared(pool: Pool, server: Server, clock: Clock) -> None:
    server.away_s = 5.0
    with pytest.raises(psycopg.OperationalError, match="refused"):
        pool.getconn()
    with pytest.raises(psycopg.OperationalError, match="a moment ago"):
        pool.getconn()
    assert server.connects == 1
    server.away_s = None
    clock.ahead += 1.0
    pool.putconn(pool.getconn())


def test_urgent_work_connects_outside_a_busy_pool(
    pool: Pool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "URGENT_WAIT_S", 0.01)
    used = [pool.getconn() for _ in range(2)]
    with pool_module.urgent():
        spare = [pool.getconn() for _ in range(pool_module.SPARE)]
        with pytest.raises(PoolBusyError, match="all 2 spare"):
            pool.getconn()
        pool.putconn(spare[0])
        assert spare[0].closed, "urgent work does not share connections"
        spare[0] = pool.getconn()
    assert pool.size == 2, "spare connections do not count"
    for each in (*spare, *used):
        pool.putconn(each)
    pool.putconn(pool.getconn())
    assert server.connects == 2 + pool_module.SPARE + 1


def test_untrusted_urgent_work_has_its_own_connections(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "URGENT_WAIT_S", 0.01)
    with pool_module.urgent(trusted=False):
        used = [pool.getconn() for _ in range(pool_module.SPARE)]
        with pytest.raises(PoolBusyError, match="all 2 spare"):
            pool.getconn()
    with pool_module.urgent():
        used.append(pool.getconn())
    for each in used:
        pool.putconn(each)
    with pool_module.urgent(trusted=False):
        pool.putconn(pool.getconn())


def test_failed_urgent_connect_frees_its_place(pool: Pool, server: Server) -> None:
    server.away_s = 0.0
    with pool_module.urgent():
        for _ in range(2 * pool_module.SPARE):
            with pytest.raises(psycopg.OperationalError, match="refused"):
                pool.getconn()
        server.away_s = None
        pool.putconn(pool.getconn())


def test_closed_pool_closes_returned_connections(server: Server, clock: Clock) -> None:
    pool = Pool(server, max_size=2, timeout=0.2, clock=clock)
    used, idle = pool.getconn(), pool.getconn()
    pool.putconn(idle)
    pool.close()
    assert idle.closed
    pool.putconn(used)
    assert used.closed
    assert pool.size == 0


@pytest.mark.usefixtures("committed")
def test_thread_without_requests_replaces_a_lost_connection() -> None:
    """No end of a request closes its connection."""

    def select() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    select()
    lost: Any = connection.connection
    end_backend(lost)
    with pytest.raises(OperationalError):
        select()
    select()
    assert connection.connection is not lost


READ_ONLY = "SET default_transaction_read_only = on"
"""The session then reports what a demoted server reports."""


def test_connections_to_a_read_only_server_are_replaced(pool: Pool, server: Server) -> None:
    """All of them, because the address may now lead to another server."""
    first, second = pool.getconn(), pool.getconn()
    first.execute(READ_ONLY)
    pool.putconn(first)
    pool.putconn(second)
    assert first.closed
    assert second.closed
    pool.putconn(pool.getconn())
    assert (server.connects, pool.size) == (3, 1)


def test_stale_idle_connection_is_not_used(pool: Pool, server: Server) -> None:
    idle, used = pool.getconn(), pool.getconn()
    pool.putconn(idle)
    used.execute(READ_ONLY)
    pool.putconn(used)
    fresh = pool.getconn()
    assert fresh is not idle
    assert idle.closed
    pool.putconn(fresh)


def test_connections_to_a_read_only_server_are_not_replaced_all_the_time(
    pool: Pool, server: Server, clock: Clock
) -> None:
    for _ in range(5):
        found = pool.getconn()
        found.execute(READ_ONLY)
        pool.putconn(found)
    assert server.connects == 2, "the stale one, and a new one that is kept"
    clock.ahead += REPLACE_EVERY_S
    found = pool.getconn()
    pool.putconn(found)
    assert found.closed


def test_thread_gives_back_a_stale_connection(committed: None) -> None:
    """A thread that serves no request would otherwise keep it for ever."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    held: Any = connection.connection
    pool: Any = connection.pool  # type: ignore[attr-defined]
    pool._marked_at = float("-inf")
    pool.mark_stale()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert held.closed
    assert connection.connection is not held
