"""Applies a function to each string of JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON values with each string changed, the names of objects too."""
    match value:
        case str():
            return change(value)
        case dict():
            return {change(name): mapped(part, change) for name, part in value.items()}
        case list():
            return [mapped(part, change) for part in value]
        case _:
            return value


def of(value: Any) -> Iterator[str]:
    """Yield each string of JSON values, in order; of objects the values alone."""
    match value:
        case str():
            yield value
        case dict():
            for part in value.values():
                yield from of(part)
        case list():
            for part in value:
                yield from of(part)
