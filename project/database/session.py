"""What a session with the database must be like, and what we set or refuse if it is not.

A server, a database or a role may have other settings than PostgreSQL's own, such as
`ALTER ROLE app SET DateStyle = 'German'`. The client's settings go before these. A pooler in
between may drop them, so they are compared once more with what the session reports.
"""

from __future__ import annotations

import logging
import secrets
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
"""Our functions and psycopg read and write dates, arrays and strings in these forms."""

OPTIONS: Final = " ".join(
    f"-c {name}={value}".replace("read committed", "read\\ committed")
    for name, value in _NEEDED.items()
)
"""For libpq's `options`."""

_REPORTED: Final = {
    name: _NEEDED[name]
    for name in ("DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings")
}
"""The ones of them that a server reports by itself, so that comparing costs no round trip."""

ENCODING: Final = "UTF8"

OLDEST: Final = 15
"""The oldest major version of PostgreSQL that this project was run with."""

POOLER_DROPS: Final = "unsupported startup parameter"
"""In PgBouncer's refusal of a session's settings."""


class UnfitDatabaseError(psycopg.OperationalError):
    """The database cannot serve this project. The text names the cause and the next step."""


def explained(error: psycopg.OperationalError) -> psycopg.OperationalError:
    """Return the error of a connect, or one that names the next step where we know it."""
    if POOLER_DROPS not in str(error):
        return error
    return UnfitDatabaseError(
        "the pooler in front of the database refuses settings of a session: add"
        " `ignore_startup_parameters = options` to pgbouncer.ini (docs/operations/database.md)"
    )


def tried(url: str, *, connect_timeout: int) -> None:
    """Connect once, as this project does, and disconnect.

    Args:
        url: A libpq URI.
        connect_timeout: Seconds.

    Raises:
        psycopg.ProgrammingError: it is no libpq URI.
        UnfitDatabaseError: the database cannot serve this project.
        psycopg.OperationalError: it takes no connection.
    """
    options = f"{conninfo_to_dict(url).get('options', '')} {OPTIONS}".strip()
    try:
        connection = psycopg.connect(
            url, connect_timeout=connect_timeout, options=options, autocommit=True
        )
    except psycopg.OperationalError as error:
        raise explained(error) from None
    with connection:
        settle(connection)


def settle(connection: Connection) -> None:
    """Give a new session in autocommit mode the settings that it needs.

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
    """Return the names of settings that are reported with another value than ours."""
    found = []
    for name, needed in _REPORTED.items():
        value = connection.info.parameter_status(name)
        if value is not None and value.split(",")[0] != needed:
            found.append(name)
    return found


def dropped(connection: Connection) -> dict[str, str]:
    """Return the settings that a pooler dropped and the server has otherwise, as we need them."""
    found = {}
    for name, needed in _NEEDED.items():
        row = connection.execute(f"SHOW {name}".encode()).fetchone()
        if row is not None and str(row[0]).split(",")[0] != needed:
            found[name] = needed
    return found


def is_pooled(connection: Connection) -> bool:
    """Return whether a pooler stands between: the server's process is not the one we were told."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def keeps_prepared(connection: Connection) -> bool:
    """Return whether a pooler keeps track of prepared statements, as PgBouncer does from 1.22 on.

    It gives a statement another name then. One that arrives under our name belongs to a server
    connection that the next transaction may not get.

    Raises:
        psycopg.OperationalError: the connection was lost.
    """
    name = f"aif_{secrets.token_hex(8)}".encode()
    raw = connection.pgconn
    raw.exec_(b"BEGIN")  # so that all of this is done by one server connection
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
    """Log, once a process, that a pooler keeps no prepared statements."""
    logger.warning(
        "DATABASE_URL leads to a pooler that does not keep prepared statements, so each statement"
        " is planned again. Upgrade PgBouncer to 1.22 or later and set max_prepared_statements:"
        " docs/operations/database.md"
    )
