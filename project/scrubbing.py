"""Descriptions of exceptions without user content: type, codes, and traceback.

The message is left out. A database error's message quotes the row, a KeyError's the key, a
validation error's the input, and each may contain a prompt or an answer. Logs, standard error,
error reports, debug pages and task events all use this module.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

import psycopg
import pydantic
import redis
from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError
from kombu.exceptions import KombuError

LONGEST_CHAIN: Final = 10
"""Most exceptions of one chain that are written."""

LONGEST_OURS: Final = 300
"""Most characters of a message whose class has `text_is_ours`. Such a message consists of this
project's names and numbers, and quotes no content."""

SHORTEST_TEXT: Final = 4
"""Fewest characters of a message that is searched for in a log line."""

SHORTEST_LINE: Final = 20
"""Fewest characters of one line of a message that is searched for. A shorter one may match by
chance."""

_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_CODE_NAMES: Final = ("code", "error_code", "status", "status_code")

_ABOUT_CONNECTIONS: Final = (
    *(OSError, redis.RedisError, KombuError),
    *(psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError),
)
_PHRASES: Final = (
    "authentication failed",
    "certificate verify failed",
    "closed the connection",
    "connection is closed",
    "Connection refused",
    "Connection reset",
    "could not translate host name",
    "couldn't get a connection",
    "does not exist",
    "invalid username-password pair",
    "is read-only",
    "is shutting down",
    "is starting up",
    "loading the dataset",
    "lost synchronization",
    "maxmemory",
    "Name or service not known",
    "no password supplied",
    "No route to host",
    "not support SSL",
    "read-only transaction",
    "server closed",
    "Timeout",
    "timeout expired",
    "timed out",
    "too many clients",
    "too many connections",
)
"""Reasons of failed connections. A phrase is written if the message contains it. The phrases are
constants, so no other part of the message is written."""


def kind(error: BaseException) -> str:
    """Return the type of an exception with its codes: `IntegrityError 23514 job_status_is_known`.

    The cause of an exception follows after `<`.
    """
    shown = [_one(each) for each in _chain(error) if each is error or each is error.__cause__]
    return " < ".join(dict.fromkeys(shown))


def trace(error: BaseException, tb: TracebackType | None = None) -> list[str]:
    """Return the lines of a traceback, without messages, notes and values of variables.

    Args:
        error: The exception.
        tb: The traceback, if the exception has none.
    """
    lines: list[str] = []
    chain = list(_chain(error))
    for position, each in enumerate(reversed(chain)):
        if position:
            lines += ["", "During this, or because of it:", ""]
        lines += _frames(each, tb if each is error else None)
        lines.append(_one(each))
        if isinstance(each, BaseExceptionGroup):
            for member in each.exceptions[:LONGEST_CHAIN]:
                lines += [f"  | {line}" for line in trace(member)]
    return lines


def without_texts(text: str, error: BaseException | None, *, template: str = "") -> str:
    """Return a text in which an exception's type replaces its message, its repr, and their lines.

    Libraries put the exception that they log into the line: `"task raised: %r" % error`. A message
    that a library has shortened is not found.

    Args:
        text: The line.
        error: The exception that the line is about.
        template: The line before its arguments were filled in. Its words are kept.
    """
    for each in reachable(error):
        if text_is_ours(each):
            continue
        for quoted in sorted(_texts(each), key=len, reverse=True):
            if len(quoted) >= SHORTEST_TEXT and quoted in text and quoted not in template:
                text = text.replace(quoted, _one(each))
    return text


def text_is_ours(error: BaseException) -> bool:
    """Return whether the exception's class declares that its message contains no content."""
    return bool(getattr(type(error), "text_is_ours", False))


def _one(error: BaseException) -> str:
    """Return the type and the codes of one exception."""
    codes = [str(code) for code in _codes(error) if code not in ("", None)]
    return " ".join(dict.fromkeys((type(error).__name__, *codes)))


def _codes(error: BaseException) -> Iterator[Any]:
    if text_is_ours(error):
        yield _text(error)[:LONGEST_OURS]
        return
    if isinstance(error, pydantic.ValidationError):
        yield from sorted({each["type"] for each in _problems(error)})
        return
    if isinstance(error, UnicodeError):
        yield getattr(error, "encoding", None)
        return
    if isinstance(error, DisallowedHost):
        yield error.args[0] if error.args else None  # the host that an operator must allow
        return
    yield from _named_codes(error)
    if isinstance(error, psycopg.Error):
        diag = error.diag
        yield from (error.sqlstate, diag.table_name, diag.column_name, diag.constraint_name)
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno > 0:
        yield from (error.errno, os.strerror(error.errno))
    if isinstance(error, _ABOUT_CONNECTIONS):
        text = _text(error)
        yield from (phrase for phrase in _PHRASES if phrase in text)


def _named_codes(error: BaseException) -> Iterator[str | int]:
    for name in _CODE_NAMES:
        # A text is a code only as an attribute of the class. Other texts may come from a response.
        found = getattr(type(error), name, None)
        if isinstance(found, str) and _CODE.fullmatch(found):
            yield found
        elif isinstance(number := getattr(error, name, None), int):
            yield number


def _problems(error: pydantic.ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _frames(error: BaseException, tb: TracebackType | None) -> list[str]:
    found = error.__traceback__ or tb
    if found is None:
        return []
    return ["Traceback (most recent call last):", *"".join(traceback.format_tb(found)).splitlines()]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, and its causes and contexts as Python shows them."""
    each: BaseException | None = error
    seen: set[int] = set()
    while each is not None and id(each) not in seen and len(seen) < LONGEST_CHAIN:
        yield each
        seen.add(id(each))
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def reachable(error: BaseException | None) -> list[BaseException]:
    """Return the exception and all that it refers to, also those that Python does not show."""
    found: dict[int, BaseException] = {}
    waiting = [error]
    while waiting and len(found) < LONGEST_CHAIN**2:
        each = waiting.pop()
        if each is None or id(each) in found:
            continue
        found[id(each)] = each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
    return list(found.values())


def _texts(error: BaseException) -> set[str]:
    parts = {each for each in error.args if isinstance(each, str)}
    whole = {_text(error), _text(error, repr)}
    lines = {line.strip() for each in whole | parts for line in each.splitlines()}
    long = {line for line in lines if len(line) >= SHORTEST_LINE}
    return whole | parts | long | {repr(each) for each in whole | parts | long}


def _text(error: BaseException, make: Any = str) -> str:
    try:
        return str(make(error))
    except Exception:  # noqa: BLE001 (a library's class may raise anything)
        return ""
