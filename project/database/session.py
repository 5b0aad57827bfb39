"""The settings that a database session needs. They are set, or the database is refused.

A server, a database or a role may have other settings than PostgreSQL's defaults, such as
`ALTER ROLE app SET DateStyle = 'German'`. The client's settings override these. A pooler may drop
the client's, so they are compared with those that the session reports.
"""

from __future__ import annotations

import logging
import secrets
import select
from functools import cache
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]

_NEEDED: Final = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
}
"""Our SQL functions and psycopg read and write dates, arrays and strings in these formats."""

OPTIONS: Final = " ".join(
    f"-c {name}={value}".replace("read committed", "read\\ committed")
    for name, value in _NEEDED.items()
)
"""The value of libpq's `options`."""

_REPORTED: Final = {
    name: _NEEDED[name]
    for name in ("DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings")
}
"""Those of them that a server reports without a query, so comparing costs no round trip."""

ENCODING: Final = "UTF8"

OLDEST: Final = 15
"""The oldest major version of PostgreSQL that this project was tested with."""

POOLER_DROPS: Final = "unsupported startup parameter"
"""Part of PgBouncer's message when it refuses a session's settings."""

_NO_WRITES: Final = (b"in_hot_standby", b"default_transaction_read_only")
"""Settings that a server reports without a query, since PostgreSQL 14. A pooler may drop them."""


class UnfitDatabaseError(psycopg.OperationalError):
    """The database cannot serve this project. The text names the cause and the next step."""


def with_advice(error: psycopg.OperationalError) -> psycopg.OperationalError:
    """Return an error that names the next step if the pooler's settings cause it, else `error`."""
    if POOLER_DROPS not in str(error):
        return error
    return UnfitDatabaseError(
        "the pooler in front of the database refuses settings of a session: add"
        " `ignore_startup_parameters = options` to pgbouncer.ini (docs/operations/database.md)"
    )


def try_connect(url: str, *, connect_timeout: int) -> None:
    """Connect once with the settings of this project, and disconnect.

    Args:
        url: A libpq URI.
        connect_timeout: Seconds.

    Raises:
        psycopg.ProgrammingError: `url` is no libpq URI.
        UnfitDatabaseError: the database cannot serve this project.
        psycopg.OperationalError: the database accepts no connection.
    """
    options = f"{conninfo_to_dict(url).get('options', '')} {OPTIONS}".strip()
    try:
        connection = psycopg.connect(
            url, connect_timeout=connect_timeout, options=options, autocommit=True
        )
    except psycopg.OperationalError as error:
        raise with_advice(error) from None
    with connection:
        configure(connection)


def configure(connection: Connection) -> None:
    """Set what a new session in autocommit mode needs.

    Raises:
        UnfitDatabaseError: the server is too old, the database's encoding is not UTF8, or a
            setting cannot be changed.
        psycopg.OperationalError: the connection was lost.
    """
    if (major := connection.info.server_version // 10_000) < OLDEST:
        raise UnfitDatabaseError(
            f"the database is PostgreSQL {major}: upgrade it to {OLDEST} or later, 18 at best"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise UnfitDatabaseError(
            f"the encoding of the database {connection.info.dbname!r} is {encoding}, and texts of"
            " users need UTF8: make one with `CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE"
            " template0` and restore the data into it"
        )
    if wrong := _wrong(connection):
        for name in wrong:
            connection.execute(f"SET {name} TO {_REPORTED[name]}".encode())
        if wrong := _wrong(connection):
            raise UnfitDatabaseError(
                f"the session's {', '.join(wrong)} cannot be set, so a pooler between here and the"
                " database keeps its own: see docs/operations/database.md"
            )


def _wrong(connection: Connection) -> list[str]:
    """Return the names of settings that the session reports with another value than ours."""
    found = []
    for name, needed in _REPORTED.items():
        value = connection.info.parameter_status(name)
        if value is not None and value.split(",")[0] != needed:
            found.append(name)
    return found


def dropped_settings(connection: Connection) -> dict[str, str]:
    """Return the settings whose value in the session is wrong, with the value that we need."""
    found = {}
    for name, needed in _NEEDED.items():
        row = connection.execute(f"SHOW {name}".encode()).fetchone()
        if row is not None and str(row[0]).split(",")[0] != needed:
            found[name] = needed
    return found


def takes_no_writes(connection: Connection) -> bool:
    """Return whether the server has reported that its transactions only read."""
    pgconn = connection.pgconn
    if pgconn.status != pq.ConnStatus.OK:
        return False
    return any(pgconn.parameter_status(name) == b"on" for name in _NO_WRITES)


def has_ended(connection: Connection) -> bool:
    """Return whether the server has sent data on an idle connection: mostly that it ended.

    Other data, such as a notice, is rare, and a new connection is cheap.
    """
    pgconn = connection.pgconn
    if pgconn.status != pq.ConnStatus.OK:
        return True
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def is_pooled(connection: Connection) -> bool:
    """Return whether a pooler is in between: the server's process id is not the reported one."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def keeps_prepared(connection: Connection) -> bool:
    """Return whether a pooler tracks prepared statements, as PgBouncer does from 1.22 on.

    Such a pooler renames them. A statement that keeps our name exists on one server connection
    only, and the next transaction may get another.

    Raises:
        psycopg.OperationalError: the connection was lost.
    """
    name = f"aif_{secrets.token_hex(8)}".encode()
    raw = connection.pgconn
    raw.exec_(b"BEGIN")  # so that one server connection runs all of this
    prepared = raw.prepare(name, b"SELECT name FROM pg_prepared_statements WHERE name = $1")
    if prepared.status != pq.ExecStatus.COMMAND_OK:
        raw.exec_(b"ROLLBACK")
        return False
    found = raw.exec_prepared(name, [name])
    is_ours = found.status != pq.ExecStatus.TUPLES_OK or found.ntuples > 0
    if is_ours:
        raw.exec_(b"DEALLOCATE " + name)
    raw.exec_(b"COMMIT")
    return not is_ours


@cache
def report_pooler() -> None:
    """Log that a pooler does not track prepared statements, once in each process."""
    logger.warning(
        "DATABASE_URL leads to a pooler that does not keep prepared statements, so each statement"
        " is planned again. Upgrade PgBouncer to 1.22 or later and set max_prepared_statements:"
        " docs/operations/database.md"
    )
