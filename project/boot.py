"""Checks of a process's environment before it starts. Each problem is one log line.

A process starts while the database is unavailable, since that may be temporary. It does not start
with a database that answers but is unfit for this project, since every job would fail.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

from project import file_limit
from project.database import session
from project.database.base import DatabaseWrapper
from project.database.session import UnfitDatabaseError

logger = logging.getLogger(__name__)

_SESSION_LIMIT: Final = "idle_in_transaction_session_timeout"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the environment that an operator should change."""

    text: str
    """The object, the cause, the next step."""

    is_fatal: bool = True
    """Whether the process must not start."""


def is_fit(problems: Iterable[Problem]) -> bool:
    """Log each problem in one line. Return whether the process may start."""
    fit = True
    for problem in problems:
        level = logging.CRITICAL if problem.is_fatal else logging.WARNING
        logger.log(level, "boot: %s", problem.text)
        fit = fit and not problem.is_fatal
    return fit


def or_exit(start: Callable[..., None]) -> Callable[..., None]:
    """Decorate a receiver of Celery's start signals: if it fails, the process ends.

    Celery would log the error, and the worker would take jobs without being ready for them.
    """

    @functools.wraps(start)
    def started(*arguments: Any, **named: Any) -> None:
        try:
            start(*arguments, **named)
        except ImproperlyConfigured as error:
            problem = Problem(str(error))
        except Exception:
            logger.critical("boot: %s failed, so the worker ends", start.__name__, exc_info=True)
            raise SystemExit(os.EX_SOFTWARE) from None
        else:
            return
        is_fit([problem])  # within `except`, project.scrubbing removes the error's text
        raise SystemExit(os.EX_CONFIG)

    return started


def warn_soon(find: Callable[[], Iterable[str]]) -> None:
    """Log in a separate thread what this finds in the database, a warning each.

    The process starts without it, also if the database is unavailable.
    """

    def warn() -> None:
        try:
            is_fit(warnings(find))
        finally:
            connections.close_all()

    Thread(target=warn, name="warn-at-boot", daemon=True).start()


def warnings(find: Callable[[], Iterable[str]]) -> list[Problem]:
    """Return what this finds in the database, none of it fatal."""
    try:
        return [Problem(text, is_fatal=False) for text in find()]
    except Error as error:
        name = type(error).__name__
        return [Problem(f"the database cannot be read yet ({name})", is_fatal=False)]


def web() -> list[Problem]:
    """Return the problems of a web process."""
    files = file_limit.problem()
    return [*database(), *([Problem(files, is_fatal=False)] if files else [])]


def database() -> list[Problem]:
    """Return the problems of the database engine. If there are none, return the database's."""
    return list(engine()) or list(server())


def engine() -> Iterator[Problem]:
    """Yield the problems of the database engine in the settings."""
    name = settings.DATABASES["default"]["ENGINE"]
    if not isinstance(connections["default"], DatabaseWrapper):
        yield Problem(
            f"the database engine {name!r} lacks this project's pool and its connections for urgent"
            " work: set ENGINE to 'project.database', or to one derived from it"
        )
    elif not settings.DATABASES["default"]["OPTIONS"].get("pool"):
        yield Problem(
            f"the database engine {name!r} has no pool: set OPTIONS['pool'] to its max_size and"
            " timeout, as project/settings.py does"
        )


def server() -> Iterator[Problem]:
    """Yield the problems of the database. A refused connection is not fatal, as it may recover."""
    wrapper: Any = connections["default"]
    try:
        fresh = wrapper.connect_apart()
    except UnfitDatabaseError as error:
        yield Problem(str(error))
        return
    except (psycopg.Error, ImproperlyConfigured) as error:
        cause = " ".join(str(error).split())
        yield Problem(
            f"the database accepts no connection yet, this process keeps trying: {cause}",
            is_fatal=False,
        )
        return
    with fresh:
        limit = fresh.execute(f"SHOW {_SESSION_LIMIT}".encode()).fetchone()
        dropped = session.dropped_settings(fresh)
    for name, needed in dropped.items():
        yield Problem(
            f"the session's {name} differs from the value that this project sets, because a pooler"
            f" drops it: run `ALTER ROLE ... SET {name} = '{needed}'` (docs/operations/database.md)"
        )
    if limit == ("0",):
        yield Problem(
            f"the session has no {_SESSION_LIMIT}, because a pooler drops it, so a process that"
            " stops between two statements keeps its locks: run"
            f" `ALTER ROLE ... SET {_SESSION_LIMIT} = '10s'` (docs/operations/database.md)",
            is_fatal=False,
        )
