"""Checks for JSON values that cannot pass unchanged through Python, jsonb, prompt, API and page.

JSON has no NaN and no Infinity. PostgreSQL's jsonb has no NUL and no unpaired surrogates. Python
does not convert integers of more than 4,300 digits to text. Parsers have a nesting limit.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Self

MAX_DEPTH: Final = 64
"""Nesting limit of arrays and objects. Far more than a form needs, and far below the interpreter's
recursion limit."""

MAX_DIGITS: Final = 309
"""Digits of the largest float. Every parser can read an integer up to that as some number, and
jsonb turns every large float into such an integer."""

TOO_DEEP: Final = f"This nests more than {MAX_DEPTH} levels deep."
UNSTORABLE: Final = "Text must not contain NUL characters or unpaired surrogates."
NOT_FINITE: Final = "This must be a finite number, not NaN or Infinity."
TOO_LARGE: Final = "This number is too large."
TOO_PRECISE: Final = "This number has more digits than a JSON number can keep. Send it as text."
NO_JSON: Final = "This is not a JSON value."

_NOT_IN_JSONB: Final = re.compile("[\0\ud800-\udfff]")
_LARGEST: Final = int(sys.float_info.max)


class NotJsonError(ValueError):
    """The text is not JSON. The message names the problem and does not quote the text."""


class TooDeepError(NotJsonError):
    """The text is nested too deeply to be parsed."""


class TwiceError(NotJsonError):
    """An object has the same name twice. Parsers differ in which value they keep."""


@dataclass(frozen=True, slots=True)
class Unrepresentable:
    """A placeholder for a number that no parser can keep, so that its path is known."""

    message: str


class Precise(float):
    """A number with more digits than a float keeps, and its text."""

    def __new__(cls, text: str) -> Self:
        """Return the nearest float."""
        found = super().__new__(cls, text)
        found.text = text
        return found

    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that cannot pass unchanged, and its path."""

    path: Sequence[str | int]
    message: str


def parse(text: str | bytes) -> Any:
    """Parse a JSON text. Numbers that are out of range become `Unrepresentable`.

    Raises:
        NotJsonError: the text is not JSON by RFC 8259. NaN and Infinity become
            `Unrepresentable` instead.
    """
    try:
        return json.loads(
            text,
            parse_constant=lambda _: Unrepresentable(NOT_FINITE),
            parse_float=_float,
            parse_int=_integer,
            object_pairs_hook=_once_each,
        )
    except RecursionError:
        raise TooDeepError(TOO_DEEP) from None
    except NotJsonError:
        raise
    except ValueError:  # includes JSONDecodeError and UnicodeDecodeError, which quote the text
        raise NotJsonError("This is not valid JSON.") from None


def problem(value: Any) -> Problem | None:
    """Return the first problem in a JSON value; None: there is none.

    Not recursive, so that it works at any depth.
    """
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while waiting:
        item, path = waiting.pop()
        if message := _wrong(item):
            return Problem(path, message)
        if not isinstance(item, dict | list):
            continue
        if len(path) >= MAX_DEPTH:
            return Problem(path, TOO_DEEP)
        if isinstance(item, dict) and (message := next(filter(None, map(_wrong_name, item)), "")):
            return Problem(path, message)
        parts = list(item.items() if isinstance(item, dict) else enumerate(item))
        waiting.extend((part, (*path, name)) for name, part in reversed(parts))
    return None


def lost_digits(sent: Any, kept: Any, path: tuple[str | int, ...] = ()) -> Problem | None:
    """Return the first decimal number whose digits changed between `sent` and `kept`.

    `sent` is the result of `parse`, `kept` that of a model, which keeps decimals as text. A decimal
    is read from a number only if a float holds it.
    """
    match sent, kept:
        case Precise(), str():
            return Problem(path, TOO_PRECISE) if _differs(kept, sent) else None
        case dict(), dict():
            pairs = [(name, sent[name], kept[name]) for name in sent if name in kept]
        case list(), list() if len(sent) == len(kept):
            pairs = [(place, sent[place], kept[place]) for place in range(len(sent))]
        case _:
            return None
    return next(filter(None, (lost_digits(a, b, (*path, name)) for name, a, b in pairs)), None)


def _differs(kept: str, sent: Precise) -> bool:
    try:
        return Decimal(kept) != Decimal(sent.text)
    except InvalidOperation:  # the number became a date or a duration
        return False


def _wrong(item: Any) -> str:
    match item:
        case str():
            return UNSTORABLE if _NOT_IN_JSONB.search(item) else ""
        case Unrepresentable(message):
            return message
        case bool() | None | dict() | list():
            return ""
        case int():
            return "" if abs(item) <= _LARGEST else TOO_LARGE
        case float():
            return "" if math.isfinite(item) else NOT_FINITE
        case _:
            return NO_JSON


def _wrong_name(name: Any) -> str:
    if not isinstance(name, str):
        return NO_JSON
    return UNSTORABLE if _NOT_IN_JSONB.search(name) else ""


def _float(text: str) -> float | Unrepresentable:
    number = float(text)
    if not math.isfinite(number):
        return Unrepresentable(TOO_LARGE)
    try:
        exact = Decimal(text)
    except InvalidOperation:  # its exponent is too long for any library
        return Unrepresentable(TOO_PRECISE)
    return number if exact == Decimal(repr(number)) else Precise(text)


def _integer(text: str) -> int | Unrepresentable:
    return int(text) if len(text) <= MAX_DIGITS + 1 else Unrepresentable(TOO_LARGE)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise TwiceError("An object has the same name twice.")
    return found
