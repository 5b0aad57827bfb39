"""Explanations for a flip of a kill switch that the database refused.

The cause is derived from the SQLSTATE; see appendix A of PostgreSQL's manual.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from django.db import Error, connection

from aifeature.models.functions import urgently
from project.database.pool import PoolBusyError

RUNBOOK: Final = "deploy/runbooks/kill-switch.md"

UNCHANGED: Final = "The kill switch was not changed"

SECOND_MEANS: Final = (
    "To stop without the database, stop the llm workers, or revoke the provider's key: see"
    f" {RUNBOOK}."
)

LOCKED: Final = "55P03"
_TOO_SLOW: Final = "57014"
_READ_ONLY: Final = "25006"
_DISK_FULL: Final = "53100"
_FORBIDDEN: Final = "42501"
_OTHER_SCHEMA: Final = frozenset({"42883", "42703", "42P01"})
_AWAY: Final = frozenset({"57P01", "57P02", "57P03"})

_FULL: Final = re.compile("too many (clients|connections)|remaining connection slots")
"""PostgreSQL's English messages when the server, a role or a database has too many connections."""

_HOLDERS: Final = """
SELECT a.pid, a.state, extract(epoch FROM clock_timestamp() - a.xact_start)::int,
       a.application_name
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.relation = 'aifeature_featurecontrol'::regclass AND l.granted
   AND l.mode <> 'AccessShareLock' AND l.pid <> pg_backend_pid()
 ORDER BY a.xact_start LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A flip that the database refused. Nothing was changed."""

    cause: str
    """A sentence: the object and what is wrong with it."""

    next_step: str

    otherwise: str = SECOND_MEANS
    """How to stop without the switch."""

    @property
    def sentences(self) -> tuple[str, ...]:
        return (self.cause, self.next_step, self.otherwise)


def explain(error: Error, slug: str, *, command: str = "") -> Refusal:
    """Explain a refused flip. `command` is the management command for the same flip, if any."""
    code = getattr(error.__cause__, "sqlstate", None) or ""
    if not code or code in _AWAY or code.startswith("08"):
        return _no_connection(error, command)
    if code == LOCKED:
        return _locked(slug)
    if code in _KNOWN:
        return _KNOWN[code]
    if code in _OTHER_SCHEMA:
        return Refusal(
            f"The database is not of this release: {_first_line(error)}.",
            "Run manage.py migrate, or flip the switch from the release that is running.",
        )
    return Refusal(
        f"The database refused, with SQLSTATE {code}: {_first_line(error)}.",
        "Fix this problem, then try again.",
    )


def _no_connection(error: Error, command: str) -> Refusal:
    """Explain a failed connection. It has no SQLSTATE."""
    if isinstance(error.__cause__, PoolBusyError):
        otherwise = f", or use {command}, which needs no connection of a web process"
        return Refusal(
            f"This web process has too much to do: {_first_line(error)}.",
            f"Try again{otherwise if command else ''}.",
        )
    if _FULL.search(str(error)):
        return Refusal(
            f"The database has no connection left: {_first_line(error)}.",
            "End the sessions that hold them, then try again. Processes that have a connection"
            " keep working.",
        )
    return Refusal(
        f"There is no connection to the database: {_first_line(error)}.",
        "Try again. If no process has one, no job is accepted and no call starts. Calls in flight"
        " continue until their deadline.",
    )


_NOTHING_STARTS: Final = (
    "Until it does, no job is accepted and no call starts. Calls in flight continue until their"
    " deadline."
)

_KNOWN: Final = {
    _READ_ONLY: Refusal(
        "The database takes no writes: it is a standby, or its default is read-only.",
        f"{_NOTHING_STARTS} Connect to the primary: see DATABASE_URL.",
    ),
    _DISK_FULL: Refusal(
        "The disk of the database is full.",
        "Free space on it, then try again. Calls may still start meanwhile.",
    ),
    _TOO_SLOW: Refusal(
        "The database did not answer within its time limit of 1.5 s.",
        "Try again. If this persists, a slow disk or a backup may be the cause.",
    ),
    _FORBIDDEN: Refusal(
        "The role of the database in DATABASE_URL may not change the switch.",
        "Use the role of the running system.",
    ),
}


def _locked(slug: str) -> Refusal:
    """Explain a lock that was not granted within a second."""
    others = "Try again"
    if slug != "_everything":
        others += ", or stop everything, which uses another row"
    holder = _holder()
    if holder is None:
        return Refusal(f"Another session holds a lock that a flip of {slug} needs.", f"{others}.")
    pid, state, age, application = holder
    name = f" ({application})" if application else ""
    return Refusal(
        f"Another session holds the control of {slug}: pid {pid}{name}, {state} for {age} s.",
        f"{others}. To end that session: SELECT pg_terminate_backend({pid}).",
    )


def _holder() -> tuple[int, str, int, str] | None:
    """Return the session that has held a lock on the controls longest; None if not found."""
    if connection.in_atomic_block:
        return None  # the failed transaction refuses all queries
    try:
        with urgently(), connection.cursor() as cursor:
            cursor.execute(_HOLDERS)
            holder: tuple[int, str, int, str] | None = cursor.fetchone()
            return holder
    except Error:
        return None


def _first_line(error: Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
