"""Which JSON values go through unchanged: Python, PostgreSQL's jsonb, the prompt, the API, a page.

JSON itself has neither NaN nor Infinity, PostgreSQL's jsonb neither NUL nor half of a surrogate
pair, a Python integer of 4,300 digits is no text any more, and parsers end at some depth.
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
"""How deeply arrays and objects may nest. Far more than a form needs, far less than the
interpreter's recursion limit."""

MAX_DIGITS: Final = 309
"""Digits of the largest float. An integer up to that is some number for every parser, and jsonb
makes one of each large float."""

TOO_DEEP: Final = f"This nests more than {MAX_DEPTH} levels deep."
UNSTORABLE: Final = "Text must not hold NUL characters or unpaired surrogates."
NOT_FINITE: Final = "This must be a finite number. NaN and Infinity are none."
TOO_LARGE: Final = "This number is too large."
TOO_PRECISE: Final = "This number has more digits than a number of JSON keeps. Send it as text."
NO_JSON: Final = "This is no value of JSON."

_NOT_IN_JSONB: Final = re.compile("[\0\ud800-\udfff]")
_LARGEST: Final = int(sys.float_info.max)


class NotJsonError(ValueError):
    """A text is no JSON. Its own text says why and quotes nothing."""


class TooDeepError(NotJsonError):
    """A text nests so deeply that it cannot be read."""


class TwiceError(NotJsonError):
    """An object holds one name twice; of the two values, parsers differ in which they keep."""


@dataclass(frozen=True, slots=True)
class Odd:
    """Stands in a parsed text for a number that no parser keeps, so that its place is known."""

    message: str


class Precise(float):
    """A number of more digits than a float keeps, with its text."""

    def __new__(cls, text: str) -> Self:
        """Return the nearest float."""
        found = super().__new__(cls, text)
        found.text = text
        return found

    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that would not go through, and where it stands."""

    path: Sequence[str | int]
    message: str


def parse(text: str | bytes) -> Any:
    """Return the value of a JSON text, with an `Odd` in place of each number that is out of range.

    Raises:
        NotJsonError: it is no JSON, as RFC 8259 has it; NaN and Infinity are read all the same.
    """
    try:
        return json.loads(
            text,
            parse_constant=lambda _: Odd(NOT_FINITE),
            parse_float=_float,
            parse_int=_integer,
            object_pairs_hook=_once_each,
        )
    except RecursionError:
        raise TooDeepError(TOO_DEEP) from None
    except NotJsonError:
        raise
    except ValueError:  # also JSONDecodeError and UnicodeDecodeError, which quote what was sent
        raise NotJsonError("This is not valid JSON.") from None


def problem(value: Any) -> Problem | None:
    """Return the first thing in a JSON value that would not go through; None: all of it would.

    Works without recursion, so that no depth can break it.
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
    """Return the first decimal number that is kept with other digits than it was sent with.

    A model's decimals are kept as text. They are read from a number only if a float holds it.

    Args:
        sent: What `parse` returned, without problems.
        kept: What a model made of it.
        path: Where both stand.
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
    except InvalidOperation:  # a number became a date or a duration
        return False


def _wrong(item: Any) -> str:
    match item:
        case str():
            return UNSTORABLE if _NOT_IN_JSONB.search(item) else ""
        case Odd(message):
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


def _float(text: str) -> float | Odd:
    number = float(text)
    if not math.isfinite(number):
        return Odd(TOO_LARGE)
    try:
        exact = Decimal(text)
    except InvalidOperation:  # its exponent has more digits than any library keeps
        return Odd(TOO_PRECISE)
    return number if exact == Decimal(repr(number)) else Precise(text)


def _integer(text: str) -> int | Odd:
    return int(text) if len(text) <= MAX_DIGITS + 1 else Odd(TOO_LARGE)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise TwiceError("An object holds the same name twice.")
    return found
