"""A copy of the test database in which the time is told, never waited for.

The schema `told` stands before `pg_catalog` in the search path, so that the clock the functions
read is a setting of the transaction. Nothing else of them changes.
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

from tests.integration.machine.books_calls import FUNCTION

USERS = (1, 2)
FEATURES = ("draft", "proof")

_CLOCKS = ("statement_timestamp", "transaction_timestamp", "clock_timestamp", "now")
_CLOCK = """
    CREATE FUNCTION told.{}() RETURNS timestamptz STABLE LANGUAGE sql
    AS $$ SELECT current_setting('told.now')::timestamptz $$
"""


@contextmanager
def told_database() -> Iterator[str]:
    """Make the copy; no connection to the test database may be in use.

    Yields:
        Its connection string. Sessions set `told.now` before they call a function.
    """
    parameters = _parameters()
    source, copy = parameters["dbname"], f"{parameters['dbname']}_told_{os.getpid()}"
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's wrapper has a pool
    admin = make_conninfo("", **{**parameters, "dbname": "postgres"})
    with psycopg.connect(admin, autocommit=True) as server:
        name = sql.Identifier(copy)
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        # What a thread of an earlier test has left open would keep the copy from being made.
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


def load(url: str, text: str) -> None:
    """Run the text of a file of functions in the copy."""
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET search_path = public")  # replaced where it stands, not shadowed
        session.execute(text.encode())
        _wait_without_end(session)


def _wait_without_end(session: psycopg.Connection[Any]) -> None:
    """Who waits for a lock here waits until the machine lets it go, however slow that is."""
    functions = session.execute(
        "SELECT oid::regprocedure::text FROM pg_proc"
        " WHERE proname LIKE 'aif%' AND proconfig::text LIKE '%lock_timeout%'"
    ).fetchall()
    for (function,) in functions:
        session.execute(f"ALTER FUNCTION {function} RESET lock_timeout".encode())


def _prepare(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        _wait_without_end(session)
        session.execute("CREATE SCHEMA told")
        for clock in _CLOCKS:
            session.execute(_CLOCK.format(clock).encode())
        session.execute(FUNCTION.encode())
        session.execute(
            sql.SQL("ALTER DATABASE {} SET search_path = told, public, pg_catalog").format(
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
        # Here the dice release a switch, and no person.
        session.execute("ALTER TABLE aifeature_featurecontrol DISABLE TRIGGER release_guard")
        for feature in (*FEATURES, "_everything"):
            session.execute(
                "INSERT INTO aifeature_featurecontrol (feature, stage, percent, prompt_version,"
                " updated_at) VALUES (%s, 'everyone', 0, '', pg_catalog.now())",
                (feature,),
            )


def _parameters() -> dict[str, Any]:
    """How psycopg reaches the test database."""
    parameters: dict[str, Any] = connection.get_connection_params()
    known = {"dbname", "user", "password", "host", "port", "sslmode"}
    return {name: value for name, value in parameters.items() if name in known and value}
