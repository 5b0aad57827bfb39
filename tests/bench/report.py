"""The results of benches: a JSON line each for machines, one table at the end for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


class BrokenRunError(Exception):
    """A bench lost jobs or had errors, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Aim:
    """The aim of one figure. It is reported, never asserted."""

    key: str
    bound: Literal["at least", "at most"]
    value: float

    def met(self, figure: float) -> bool:
        return figure >= self.value if self.bound == "at least" else figure <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """The figures of one bench; the keys carry their units (`_ms`, `_s`, `_mb`, `_per_s`)."""

    name: str
    values: Mapping[str, float | int | str]
    aims: tuple[Aim, ...] = ()
    note: str = ""
    """Meaning of the figures, printed below the table."""


def progress(text: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def emit(figure: Figure) -> None:
    """Write the JSON line of a bench to stdout."""
    rounded = {key: _rounded(value) for key, value in figure.values.items()}
    sys.stdout.write(json.dumps({"bench": figure.name, **rounded}) + "\n")
    sys.stdout.flush()


def table(figures: Sequence[Figure], broken: Mapping[str, str]) -> str:
    """Return all figures with their aims, and the errors of broken benches."""
    rows = [("bench", "figure", "value", "aim", "")]
    for figure in figures:
        aims = {aim.key: aim for aim in figure.aims}
        rows.extend(
            (figure.name, key, _shown(value), *_verdict(aims.get(key), value))
            for key, value in figure.values.items()
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows), ""]
    lines += [f"{figure.name}: {figure.note}" for figure in figures if figure.note]
    lines += [f"{name}: BROKEN: {why}" for name, why in broken.items()]
    return "\n".join(lines) + "\n"


def _verdict(aim: Aim | None, value: float | str) -> tuple[str, str]:
    if aim is None or isinstance(value, str):
        return "", ""
    return f"{aim.bound} {_shown(aim.value)}", "met" if aim.met(value) else "missed"


def _rounded(value: float | str) -> float | int | str:
    return round(value, 3) if isinstance(value, float) else value


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
