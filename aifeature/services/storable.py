"""PostgreSQL stores no NUL character in text or jsonb; these find and remove it in JSON values."""

from __future__ import annotations

from typing import Any

NUL = "\x00"


def has_nul(value: Any) -> bool:
    """Whether any string in a JSON value, key or text, holds a NUL."""
    match value:
        case str():
            return NUL in value
        case dict():
            return any(has_nul(part) for item in value.items() for part in item)
        case list():
            return any(has_nul(part) for part in value)
        case _:
            return False


def without_nul(value: Any) -> Any:
    """The same JSON value with every NUL taken out."""
    match value:
        case str():
            return value.replace(NUL, "")
        case dict():
            return {without_nul(key): without_nul(part) for key, part in value.items()}
        case list():
            return [without_nul(part) for part in value]
        case _:
            return value
