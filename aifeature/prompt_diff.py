"""The difference between two prompts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

CONTEXT: Final = 3
MOST_LINES: Final = 400
"""Lines that are shown of one part. A removed chapter of a handbook needs no more."""

KINDS: Final = {"+": "added", "-": "removed", "@": "hunk"}


@dataclass(frozen=True, slots=True)
class Line:
    kind: str
    """`added`, `removed`, `hunk` (the place of the next lines), or `same`."""
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """The changes of one part of the prompt. Empty if there is none."""

    name: str
    lines: tuple[Line, ...]
    added: int
    removed: int
    hidden: int
    """The number of lines that are not shown."""


def parts(baseline: Mapping[str, str], candidate: Mapping[str, str]) -> tuple[Part, ...]:
    """Return the changes of the system part and of the user part, with lines around them."""
    return tuple(_part(name, baseline[name], candidate[name]) for name in ("system", "user"))


def _part(name: str, before: str, after: str) -> Part:
    found = difflib.unified_diff(
        before.splitlines(), after.splitlines(), n=CONTEXT, lineterm="", fromfile="", tofile=""
    )
    lines = [_line(text) for text in islice(found, 2, None)]  # without the names of files
    return Part(
        name,
        tuple(lines[:MOST_LINES]),
        added=sum(line.kind == "added" for line in lines),
        removed=sum(line.kind == "removed" for line in lines),
        hidden=max(0, len(lines) - MOST_LINES),
    )


def _line(text: str) -> Line:
    kind = KINDS.get(text[:1], "same")
    return Line(kind, text if kind == "hunk" else text[1:])
