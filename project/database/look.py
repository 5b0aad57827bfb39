"""Whether PostgreSQL takes what a submission needs: a connection, a write, a read, and room."""

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
"""Of the write that is tried after one was refused for lack of room: a usual document fits in."""

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
        DOWN: "It does not answer: look whether it runs and can be reached.",
        "read_only": "It only reads. Was it demoted, or switched to default_transaction_read_only?",
        "disk_full": "Its disk is full: free or add space.",
        "out_of_memory": "It is out of memory.",
        "no_connections": "It takes no more connections: see max_connections, and who holds them.",
        "cancelled": "The statement took too long, or somebody cancelled it.",
        "stopping": "It is being stopped.",
        "starting": "It is starting or recovering.",
        "locked": "Somebody holds a lock on the table of the probes.",
        "not_migrated": "Run the migrations: what this release needs is missing.",
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
"""A server that refuses a connection says why in words alone; libpq passes on no SQLSTATE."""


@dataclass(frozen=True, slots=True)
class State:
    """What PostgreSQL does with a write and a read."""

    word: str
    """OK, or what is in the way, such as `read_only`."""

    sentence: str = ""
    """For operators: what is in the way, and what to do."""


def look() -> State:
    """Return whether PostgreSQL takes a write and gives it back.

    It asks over a connection of its own: a busy pool is load, not an outage. After a write of this
    process was refused for lack of room, one of a usual size is tried as well, and undone.
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
        # Text that PostgreSQL cannot compress.
        fresh.execute("SELECT aif_probe_room(%s)", [secrets.token_hex(ROOM_BYTES // 2)])
        no_room.clear()


def _word(error: psycopg.Error) -> str:
    if error.sqlstate is not None:
        return _WORDS.get(error.sqlstate, "refuses")
    text = str(error)
    return next((word for part, word in _AT_CONNECT.items() if part in text), DOWN)
