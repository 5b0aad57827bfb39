"""Reasons of a rating. Their slugs are a contract: add new ones, and keep old ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

UP: Final = 1
DOWN: Final = -1

_UP: Final = {
    "correct": "Correct",
    "complete": "Complete",
    "clear": "Easy to read",
    "saved_time": "Saved me time",
}
_DOWN: Final = {
    "wrong": "Wrong",
    "made_up": "Made up",
    "incomplete": "Something is missing",
    "off_topic": "Not what I asked",
    "unclear": "Hard to read",
    "too_long": "Too long",
    "too_slow": "Too slow",
}

OF: Final[Mapping[int, Mapping[str, str]]] = MappingProxyType(
    {UP: MappingProxyType(_UP), DOWN: MappingProxyType(_DOWN)}
)
"""The words for the user by slug, for each rating."""

ALL: Final[Mapping[str, str]] = MappingProxyType({**_UP, **_DOWN})
