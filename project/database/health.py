"""Check that PostgreSQL can take a submission: a connection, a write, a read, disk space."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import psycopg
from django.db import connection

from project.database.errors import no_room

OK: Final = "ok"
DOWN: Final = "down"
TIMEOUT_S: Final = 2

ROOM_BYTES: Final = 131_072
"""Size of the test write after the disk was full. A usual document is smaller."""

_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "25006": "read_only",
        "53100": "disk_full",
        "53200": "out_of_memory",
        "53300": "no_connections",
        "57014": "cancelled",
        "57P01": "stopping",
        "57P03": "starting",
        "55P03": "locked",
        "42883": "not_migrated",
        "42P01": "not_migrated",
        "42501": "permission",
    }
)
"""By SQLSTATE."""

_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        DOWN: "It does not answer: check that it runs and can be reached.",
        "read_only": "It only reads. Was it demoted, or switched to default_transaction_read_only?",
        "disk_full": "Its disk is full: free or add space.",
        "out_of_memory": "It is out of memory.",
        "no_connections": "It accepts no more connections: check max_connections and its sessions.",
        "cancelled": "The statement took too long or was cancelled.",
        "stopping": "It is being stopped.",
        "starting": "It is starting or recovering.",
        "locked": "Another session locks the table aifeature_probe.",
        "not_migrated": "Its schema is not of this release: run the migrations.",
        "permission": "Its user lacks a permission.",
    }
)
_OTHER: Final = "It refuses a write."

_AT_CONNECT: Final = {
    "too many": "no_connections",
    "connection slots": "no_connections",
    "starting up": "starting",
    "recovery": "starting",
    "shutting down": "stopping",
}
"""By a part of the message. libpq gives no SQLSTATE for a refused connection."""


@dataclass(frozen=True, slots=True)
class State:
    """The result of the check."""

    word: str
    """OK, or the problem, such as `read_only`."""

    sentence: str = ""
    """The problem and the next step, for operators."""


def check() -> State:
    """Write a row to PostgreSQL and read it back, over a connection outside the pool.

    A busy pool is load, not an outage. After a write of this process failed because the disk was
    full, the check also writes a text of a usual size, and undoes it.
    """
    parameters: dict[str, Any] = connection.get_connection_params()
    limit = f"-c statement_timeout={TIMEOUT_S * 1000}"
    parameters["options"] = f"{parameters.get('options', '')} {limit}".strip()
    parameters["connect_timeout"] = TIMEOUT_S
    try:
        with psycopg.connect(**parameters, autocommit=True) as fresh:
            _write_and_read(fresh)
    except psycopg.Error as error:
        word = _word(error)
        return State(word, _SENTENCES.get(word, _OTHER))
    return State(OK)


def _write_and_read(fresh: psycopg.Connection[Any]) -> None:
    lacked_room = no_room.is_set()
    fresh.execute("SELECT aif_probe()")
    if lacked_room:
        # PostgreSQL cannot compress this text.
        fresh.execute("SELECT aif_probe_room(%s)", [secrets.token_hex(ROOM_BYTES // 2)])
        no_room.clear()


def _word(error: psycopg.Error) -> str:
    if error.sqlstate is not None:
        return _WORDS.get(error.sqlstate, "refuses")
    text = str(error)
    return next((word for part, word in _AT_CONNECT.items() if part in text), DOWN)
