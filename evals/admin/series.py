"""The chart of a feature's weekly runs: pass rates with intervals, floor, baseline and changes.

The server draws it, and it needs no script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from evals.models import WeeklyRun

MOST: Final = 52
"""Runs in a chart: those of a year."""

WIDTH, HEIGHT = 720.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 44.0, 26.0, 28.0
DATES: Final = 6
"""Most dates below the axis."""

LETTERS: Final[Mapping[str, str]] = {
    "prompt": "P",
    "model": "M",
    "suite": "S",
    "scoring": "J",
    "guards": "G",
    "baseline": "B",
}
"""The letter of each kind of mark."""

MEANINGS: Final = {
    "P": "another prompt",
    "M": "another model answered",
    "S": "suite edited",
    "J": "scorers or judge changed",
    "G": "policies of the guards changed",
    "B": "another baseline",
}

CLASSES: Final[Mapping[str, str]] = {
    WeeklyRun.State.PASSED: "good",
    WeeklyRun.State.UNCONFIRMED: "doubt",
    WeeklyRun.State.CONFIRMING: "doubt",
    WeeklyRun.State.CONFIRMED: "bad",
}
"""The colour of a point by the state of its run. Others are grey."""


@dataclass(frozen=True, slots=True)
class Point:
    """One run in the chart. One that ended without a rate is a cross on the axis."""

    x: float
    y: float
    has_rate: bool
    is_cross: bool
    high: float
    low: float
    colour: str
    title: str
    letters: str
    date: str


@dataclass(frozen=True, slots=True)
class Series:
    """A chart, in units of its view box."""

    title: str
    points: tuple[Point, ...]
    line: str
    """The points of the polyline through the rates."""
    floors: tuple[str, ...]
    baselines: tuple[str, ...]
    """Pieces of a line: each changes where another floor, or another baseline, decided."""
    grid: tuple[tuple[float, str], ...]
    """The lines of the scale, each with its label."""
    marks: tuple[tuple[str, str, str], ...]
    """Date, letter and text of each change, newest first."""
    letters: tuple[str, ...]
    """The meaning of each letter in the chart."""
    summary: str
    """The newest run in words, also for readers without the picture."""
    box: str = f"0 0 {WIDTH:g} {HEIGHT:g}"
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM
    label_y: float = HEIGHT - 8


def of(title: str, newest_first: Iterable[WeeklyRun]) -> Series:
    """Return the chart of these runs of one feature."""
    runs = list(newest_first)[:MOST][::-1]
    scale = _Scale.of(runs)
    places = [scale.x(number) for number in range(len(runs))]
    points = tuple(
        _point(run, x, scale, dated=number % max(1, math.ceil(len(runs) / DATES)) == 0)
        for number, (run, x) in enumerate(zip(runs, places, strict=True))
    )
    return Series(
        title=title,
        points=points,
        line=" ".join(f"{point.x:.1f},{point.y:.1f}" for point in points if point.has_rate),
        floors=tuple(_steps([_value(run, "floor") for run in runs], places, scale)),
        baselines=tuple(_steps([_rate(run, "baseline") for run in runs], places, scale)),
        grid=tuple((scale.y(share), f"{share:.0%}") for share in scale.ticks()),
        marks=tuple(
            (_day(run), LETTERS.get(mark["kind"], "?"), mark["text"])
            for run in runs[::-1]
            for mark in run.marks
        ),
        letters=tuple(
            f"{letter} {meaning}"
            for letter, meaning in MEANINGS.items()
            if any(letter in point.letters for point in points)
        ),
        summary=_in_words(runs[-1]),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    count: int
    lowest: float

    @classmethod
    def of(cls, runs: Sequence[WeeklyRun]) -> _Scale:
        shares = [share for run in runs for share in _shares(run)]
        least = min(shares, default=0.5)
        return cls(len(runs), max(0.0, math.floor(least * 10 - 0.25) / 10))

    def x(self, number: int) -> float:
        room = WIDTH - LEFT - RIGHT
        return LEFT + room * (number + 0.5) / max(1, self.count)

    def y(self, share: float) -> float:
        room = HEIGHT - TOP - BOTTOM
        return TOP + room * (1 - share) / (1 - self.lowest or 1)

    def ticks(self) -> list[float]:
        step = 0.1 if self.lowest >= 0.5 else 0.2  # noqa: PLR2004 (at most six lines)
        count = math.floor((1 - self.lowest) / step + 1e-9)
        return [round(1 - step * number, 2) for number in range(count + 1)]


def _shares(run: WeeklyRun) -> Iterator[float]:
    figures = _shown(run)
    if figures:
        yield figures["interval"]["low"]
    for share in (_value(run, "floor"), _rate(run, "baseline")):
        if share is not None:
            yield share


def _point(run: WeeklyRun, x: float, scale: _Scale, *, dated: bool) -> Point:
    figures = _shown(run)
    bottom = HEIGHT - BOTTOM
    interval = figures["interval"] if figures else {}
    return Point(
        x=round(x, 1),
        y=round(scale.y(figures["rate"]), 1) if figures else bottom,
        has_rate=figures is not None,
        is_cross=figures is None and not run.is_under_way,
        high=round(scale.y(interval["high"]), 1) if figures else bottom,
        low=round(scale.y(interval["low"]), 1) if figures else bottom,
        colour=CLASSES.get(run.state, "grey"),
        title=_in_words(run),
        letters="".join(LETTERS.get(mark["kind"], "?") for mark in run.marks),
        date=f"{run.created_at:%-d %b}" if dated else "",
    )


def _steps(values: Sequence[float | None], xs: Sequence[float], scale: _Scale) -> Iterator[str]:
    """Yield the pieces of a line that is level between changes, as the points of polylines."""
    half = (WIDTH - LEFT - RIGHT) / max(1, len(xs)) / 2
    piece: list[str] = []
    for value, x in zip(values, xs, strict=True):
        if value is None:
            if piece:
                yield " ".join(piece)
            piece = []
            continue
        y = scale.y(value)
        piece += [f"{x - half:.1f},{y:.1f}", f"{x + half:.1f},{y:.1f}"]
    if piece:
        yield " ".join(piece)


def _shown(run: WeeklyRun) -> Mapping[str, Any] | None:
    """Return the figures of the newest verdict on a run."""
    verdict = run.confirmation_verdict or run.verdict
    return verdict["candidate"] if verdict else None


def _rate(run: WeeklyRun, arm: str) -> float | None:
    figures = (run.verdict or {}).get(arm)
    return figures["rate"] if figures else None


def _value(run: WeeklyRun, name: str) -> float | None:
    found: float | None = (run.verdict or {}).get(name)
    return found


def _day(run: WeeklyRun) -> str:
    return f"{run.created_at:%-d %B %Y}"


def _in_words(run: WeeklyRun) -> str:
    figures = _shown(run)
    state = run.get_state_display()
    if not figures:
        return f"{_day(run)}, {run.version}: {state}."
    interval = figures["interval"]
    return (
        f"{_day(run)}, {run.version}: {figures['rate']:.1%} pass"
        f" ({interval['low']:.1%} to {interval['high']:.1%}). {state}."
    )
