"""Calls of the SQL functions in `aifeature/sql/`: one statement each, then nothing is held."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import DatabaseError, DataError, IntegrityError, connection
from django.utils.asyncio import async_unsafe
from psycopg.errors import (
    DeadlockDetected,
    InsufficientPrivilege,
    LockNotAvailable,
    QueryCanceled,
    ReadOnlySqlTransaction,
)

from aifeature.models.storable import storable

Rows = Callable[..., list[tuple[Any, ...]]]
"""`rows`, or the same on a dedicated connection (`aifeature.models.dedicated_connection`)."""


@async_unsafe
def rows(function: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Return a function's rows. Outside a transaction, hold a connection only during the call.

    psycopg's cursor binds arguments on the server and prepares repeated statements. Django's puts
    them into the text, so each call would be parsed and planned again.
    """
    with connection.wrap_database_errors, _borrowed() as conn:
        return rows_of(conn, function, *arguments)


def rows_of(conn: psycopg.Connection[Any], function: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Return a function's rows on this connection. Raises psycopg's errors."""
    marks = ", ".join(["%s"] * len(arguments))
    query = f"SELECT * FROM {function}({marks})"  # noqa: S608 (our names)
    with psycopg.Cursor(conn) as cursor:
        cursor.execute(query, arguments)
        return cursor.fetchall()


def is_lock_timeout(error: Exception) -> bool:
    """Return whether the cause is a lock timeout or deadlock. Nothing changed; a retry is safe."""
    return isinstance(error.__cause__, LockNotAvailable | DeadlockDetected)


def is_turned_away(error: Exception) -> bool:
    """Return whether the database rejects writes for now. Nothing changed; a retry is safe.

    It is read-only, denies access to our user, has no room for data or connections (class 53), or
    the statement was cancelled.
    """
    cause = error.__cause__
    code = getattr(cause, "sqlstate", None) or ""
    return code.startswith("53") or isinstance(
        cause, ReadOnlySqlTransaction | InsufficientPrivilege | QueryCanceled
    )


def is_refused(error: Exception) -> bool:
    """Return whether the database rejects this write permanently, so that a retry fails too.

    The causes are invalid data, a violated constraint, a row that is too large, or a trigger.
    """
    if isinstance(error, DataError | IntegrityError):
        return True
    code = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, DatabaseError) and code.startswith(("22", "23", "54", "P0"))


def brief(error: Exception) -> str:
    """Return an error's type and SQLSTATE without its text, which may quote a value."""
    code = getattr(error.__cause__, "sqlstate", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__


@contextmanager
def _borrowed() -> Iterator[psycopg.Connection[Any]]:
    """Yield this thread's connection, else one directly from the pool.

    Django's setup of a thread's connection would cost as much as the call. A thread never takes a
    second connection: threads that hold one and wait for another would deadlock.
    """
    connection.close_if_health_check_failed()
    if connection.connection is None:
        pool = connection.pool  # type: ignore[attr-defined]  # not in the stubs
        conn = pool.getconn()
        try:
            yield conn
        finally:
            pool.putconn(conn)
        return
    try:
        yield connection.connection
    finally:
        if not connection.in_atomic_block:
            connection.close()  # back to the pool


def database_now() -> datetime:
    """Return the database's time in UTC. Host clocks may differ; the ledger uses this one.

    Raises:
        django.db.Error: the database is unavailable.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment.astimezone(UTC)


@contextmanager
def connected() -> Iterator[None]:
    """Connect this thread at the beginning of the block, and return the connection at its end.

    Enter it before taking a lock that others take while they hold a connection: a thread that
    waits for a connection under the lock would deadlock with them.
    """
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    try:
        yield
    finally:
        if not connection.in_atomic_block:
            connection.close()  # back to the pool


@contextmanager
def urgently() -> Iterator[None]:
    """Run statements without waiting for the pool, and for a second at most for a lock.

    A connection that this thread already holds is used unchanged. Otherwise one is opened outside
    the pool, with timeouts (`project.database.base`), and closed at the end.
    """
    held = connection.connection is not None
    with connection.urgent():  # type: ignore[attr-defined]  # not in the stubs
        try:
            yield
        finally:
            if not held and not connection.in_atomic_block:
                connection.close()


def as_json(value: object) -> str | None:
    """Return a value for a jsonb argument; None is NULL."""
    return None if value is None else json.dumps(storable(value))
