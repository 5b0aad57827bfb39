"""A copy of the test database with a fake clock.

The schema `fake_clock` is before `pg_catalog` in the search path, so the SQL functions read their
clock from a setting of the transaction. Nothing else of them changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aifeature import sql as aifeature_sql
from tests.integration.machine.books_calls import FUNCTION
from tests.integration.machine.mutations import Mutation

USERS = (1, 2)
FEATURES = ("draft", "proof")

_CLOCKS = ("statement_timestamp", "transaction_timestamp", "clock_timestamp", "now")
_CLOCK = """
    CREATE FUNCTION fake_clock.{}() RETURNS timestamptz STABLE LANGUAGE sql
    AS $$ SELECT current_setting('fake_clock.now')::timestamptz $$
"""


@contextmanager
def fake_clock_database() -> Iterator[str]:
    """Make the copy and yield its connection string. Sessions set `fake_clock.now` before a call.

    No connection to the test database may be in use.
    """
    parameters = _parameters()
    source, copy = parameters["dbname"], f"{parameters['dbname']}_fake_clock_{os.getpid()}"
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's wrapper has a pool
    admin = make_conninfo("", **{**parameters, "dbname": "postgres"})
    with psycopg.connect(admin, autocommit=True) as server:
        name = sql.Identifier(copy)
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        # A session that an earlier test left open would prevent the copy.
        server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            [source],
        )
        server.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(source))
        )
        try:
            url = make_conninfo("", **{**parameters, "dbname": copy})
            _prepare(url, copy)
            yield url
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def without_guard(url: str, mutation: Mutation) -> Iterator[None]:
    """Remove a guard from the functions of the copy for the time of a test."""
    _load(url, mutation.text())
    try:
        yield
    finally:
        _load(url, aifeature_sql.text(mutation.file))


def _load(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET search_path = public")  # replaces the functions instead of hiding them
        session.execute(text.encode())
        _remove_lock_timeouts(session)


def _remove_lock_timeouts(session: psycopg.Connection[Any]) -> None:
    """Let each call wait until the machine ends the other transaction, on a slow machine too."""
    functions = session.execute(
        "SELECT oid::regprocedure::text FROM pg_proc"
        " WHERE proname LIKE 'aif%' AND proconfig::text LIKE '%lock_timeout%'"
    ).fetchall()
    for (function,) in functions:
        session.execute(f"ALTER FUNCTION {function} RESET lock_timeout".encode())


def _prepare(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        _remove_lock_timeouts(session)
        session.execute("CREATE SCHEMA fake_clock")
        for clock in _CLOCKS:
            session.execute(_CLOCK.format(clock).encode())
        session.execute(FUNCTION.encode())
        session.execute(
            sql.SQL("ALTER DATABASE {} SET search_path = fake_clock, public, pg_catalog").format(
                sql.Identifier(name)
            )
        )
        session.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '100ms'".encode())
        for user in USERS:
            session.execute(
                "INSERT INTO auth_user (id, username, password, first_name, last_name, email,"
                " is_superuser, is_staff, is_active, date_joined)"
                " VALUES (%s, %s, '', '', '', '', false, false, true, pg_catalog.now())",
                (user, f"user {user}"),
            )
        # Here random calls release a switch, instead of a person.
        session.execute("ALTER TABLE aifeature_featurecontrol DISABLE TRIGGER release_guard")
        # No call of the machine reads the stage, which needs evidence.
        for feature in (*FEATURES, "_everything"):
            session.execute(
                "INSERT INTO aifeature_featurecontrol (feature, stage, percent, prompt_version,"
                " updated_at) VALUES (%s, 'staff', 0, '', pg_catalog.now())",
                (feature,),
            )


def _parameters() -> dict[str, Any]:
    parameters: dict[str, Any] = connection.get_connection_params()
    known = {"dbname", "user", "password", "host", "port", "sslmode"}
    return {name: value for name, value in parameters.items() if name in known and value}
