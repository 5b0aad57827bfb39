"""Reads the body of a submission: what is no JSON, or cannot be stored, is refused here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from django.http import HttpRequest

from aifeature.api.refusals import InvalidJson, UnsupportedMediaType
from aifeature.services.refusals import InvalidInput

MAX_DEPTH: Final = 64
"""How deeply arrays and objects may nest. Far more than a form needs, far less than the
interpreter's recursion limit."""

_NOT_IN_JSONB: Final = re.compile("[\0\ud800-\udfff]")
_UNSTORABLE: Final = "Text must not hold NUL characters or unpaired surrogates."
_FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


def read_input(request: HttpRequest) -> dict[str, Any]:
    """The `input` object of `{"input": {...}}`.

    Raises:
        UnsupportedMediaType: the body is not declared as JSON.
        RequestDataTooBig: it is larger than DATA_UPLOAD_MAX_MEMORY_SIZE; it was not read then.
        InvalidJson: it is no JSON as RFC 8259 has it, or nests too deeply.
        InvalidInput: it has another shape, repeats a name within an object, or holds text that
            cannot be stored.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with Content-Type: application/json.")
    body = _parsed(request.body)
    if not isinstance(body, dict) or set(body) != {"input"}:
        raise _wrong("body", 'The body is an object with "input" and nothing else.')
    value = body["input"]
    if not isinstance(value, dict):
        raise _wrong("input", "This is an object.")
    _check_text(value)
    return value


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(
            raw,
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_once_each,
        )
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # also JSONDecodeError, UnicodeDecodeError, an integer of 4,301 digits
        raise InvalidJson("The body is not valid JSON.") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values of one name, parsers differ in which they keep: the sender may mean another."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _wrong("body", "An object holds the same name twice.")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999: PostgreSQL's jsonb could not take what comes of it
        raise ValueError("the number is out of range")
    return number


def _check_text(value: dict[str, Any]) -> None:
    """PostgreSQL stores neither NUL nor half of a surrogate pair in jsonb.

    Raises:
        InvalidInput: one stands in the value; it names the top-level field.
        InvalidJson: the value nests too deeply.
    """
    for name, field in value.items():
        if not _storable(name):
            raise _wrong("input", _UNSTORABLE)
        for text in _texts(field):
            if not _storable(text):
                raise _wrong(_shown(name), _UNSTORABLE)


def _texts(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys included. Without recursion, so depth cannot break it."""
    waiting: list[tuple[Any, int]] = [(value, 2)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict | list):
            if depth >= MAX_DEPTH:
                raise _too_deep()
            waiting.extend((child, depth + 1) for child in item)
            if isinstance(item, dict):
                waiting.extend((child, depth + 1) for child in item.values())


def _storable(text: str) -> bool:
    return _NOT_IN_JSONB.search(text) is None


def _shown(name: str) -> str:
    """A field's name for the answer; what looks like no name of ours is not sent back."""
    return name if _FIELD_NAME.fullmatch(name) else "input"


def _wrong(field: str, message: str) -> InvalidInput:
    return InvalidInput(
        "The request does not have the shape this address takes.",
        errors=[{"field": field, "message": message}],
    )


def _too_deep() -> InvalidJson:
    return InvalidJson(f"The body nests more than {MAX_DEPTH} levels deep.")
