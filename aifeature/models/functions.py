"""Calls the SQL functions of `aifeature/sql/`: one statement each, and nothing is held after it."""

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
    """What a function returns. Outside of a transaction it holds a connection only meanwhile.

    The cursor is psycopg's own. Django's puts the arguments into the text, so each call is parsed
    and planned anew; here the server takes them, and prepares what is called again and again.
    """
    with connection.wrap_database_errors, _lent() as lent:
        return rows_of(lent, function, *arguments)


def rows_of(lent: psycopg.Connection[Any], function: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """What a function returns on this connection. Raises psycopg's errors."""
    marks = ", ".join(["%s"] * len(arguments))
    query = f"SELECT * FROM {function}({marks})"  # noqa: S608 (our names)
    with psycopg.Cursor(lent) as cursor:
        cursor.execute(query, arguments)
        return cursor.fetchall()


def is_lock_timeout(error: Exception) -> bool:
    """Whether the database answers, and only a lock that somebody holds was in the way.

    Nothing was changed then, and trying again is safe.
    """
    return isinstance(error.__cause__, LockNotAvailable | DeadlockDetected)


def is_turned_away(error: Exception) -> bool:
    """Whether the database answers and takes this write from nobody at the moment.

    It only reads, refuses our user, has no room for data or connections (class 53), or somebody
    cancelled the statement. Nothing was changed then, and trying again is safe.
    """
    cause = error.__cause__
    code = getattr(cause, "sqlstate", None) or ""
    return code.startswith("53") or isinstance(
        cause, ReadOnlySqlTransaction | InsufficientPrivilege | QueryCanceled
    )


def is_refused(error: Exception) -> bool:
    """Whether the database answers and will never take this write: a value or a constraint.

    The same write fails again, however long it is tried: it is no outage. Wrong data, a violated
    constraint, a row that is too large, and what a trigger refuses.
    """
    if isinstance(error, DataError | IntegrityError):
        return True
    code = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, DatabaseError) and code.startswith(("22", "23", "54", "P0"))


def brief(error: Exception) -> str:
    """The kind of an error and its SQLSTATE, without its text, which may quote a value."""
    code = getattr(error.__cause__, "sqlstate", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__


@contextmanager
def _lent() -> Iterator[psycopg.Connection[Any]]:
    """The connection this thread has, else one straight from the pool.

    Straight, since what Django does to make a connection its thread's costs as much again as the
    call. But never a second one: were each thread to wait for another while it holds one, all
    would wait.
    """
    connection.close_if_health_check_failed()
    if connection.connection is None:
        pool = connection.pool  # type: ignore[attr-defined]  # not in the stubs
        lent = pool.getconn()
        try:
            yield lent
        finally:
            pool.putconn(lent)
        return
    try:
        yield connection.connection
    finally:
        if not connection.in_atomic_block:
            connection.close()  # back to the pool


def database_now() -> datetime:
    """Return the database's time in UTC. The hosts' clocks may differ; the ledger goes by this one.

    Raises:
        django.db.Error: the database is away.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment.astimezone(UTC)


@contextmanager
def connected() -> Iterator[None]:
    """This thread's connection from the beginning, and given back at the end.

    For whoever reads under a lock, around it: one who waits for a connection while he holds a lock
    waits for those who hold connections and wait for the lock.
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
    """Statements that wait for no pool, and for a second at most for a lock.

    A connection that this thread holds already is used as it is. Others are made beside the pool,
    with time limits (`project.database.base`), and closed at the end.
    """
    held = connection.connection is not None
    with connection.urgent():  # type: ignore[attr-defined]  # not in the stubs
        try:
            yield
        finally:
            if not held and not connection.in_atomic_block:
                connection.close()


def as_json(value: object) -> str | None:
    """A value for a jsonb argument; None is NULL."""
    return None if value is None else json.dumps(storable(value))
