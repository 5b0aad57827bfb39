"""Replaces NUL characters and lone surrogates, which PostgreSQL cannot store in text or jsonb.

A model or provider may send either, and the ledger row of the call must be stored all the same.
"""

from __future__ import annotations

import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_HALF = "[dD][89a-fA-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rf"|(?P<unstorable>\\u(?:0000|{_HALF}))"
    r"|\\."
)
"""An escape of a JSON string, or the two escapes of a surrogate pair."""


def storable(value: Any) -> Any:
    """Return the JSON value with U+FFFD in place of each character that cannot be stored."""
    match value:
        case str():
            return _UNSTORABLE.sub(REPLACEMENT, value)
        case dict():
            return {storable(key): storable(part) for key, part in value.items()}
        case list() | tuple():
            return [storable(part) for part in value]
        case _:
            return value


def storable_json(text: str) -> str:
    """Return the JSON text with U+FFFD in place of NUL characters and lone surrogates."""
    return _ESCAPE.sub(
        lambda found: r"\ufffd" if found["unstorable"] else found[0],
        storable(text),
    )
