"""What PostgreSQL can store: no NUL and no lone surrogate in text or jsonb, nothing too long.

What a model or a provider sends may hold either, and it must not cost us the row that says what
the call cost.
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
"""An escape of a JSON string, or the two that are one character."""


def storable(value: Any) -> Any:
    """The same JSON value with U+FFFD in place of each character that cannot be stored."""
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
    """JSON text in which no string is a NUL or a lone surrogate once it is parsed."""
    return _ESCAPE.sub(
        lambda found: r"\ufffd" if found["unstorable"] else found[0],
        storable(text),
    )
