"""The e-curve of a canary as an SVG: the evidence against the candidate over its users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any, Final

from aifeature.policies.canary import Metric

WIDTH: Final = 720
LEFT, RIGHT, TOP, BOTTOM = 56, 660, 16, 216
LABEL_Y: Final = 236
LOWEST: Final = -2.0
"""The logarithm of the least e-value that is drawn. A smaller one is drawn at the bottom."""

HIGHEST: Final = 4.0
"""The same for the greatest one, which is drawn at the top."""


@dataclass(frozen=True, slots=True)
class Line:
    """The curve of one metric."""

    name: str
    css: str
    points: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All that the template draws."""

    lines: list[Line]
    grid: list[tuple[float, str]]
    """Height and label."""
    thresholds: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    """Users: place and label."""
    summary: str
    box: str = f"0 0 {WIDTH} 262"
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM
    label_y: int = LABEL_Y
    title_y: int = LABEL_Y + 20
    middle: float = (LEFT + RIGHT) / 2


def of(metrics: Mapping[str, Mapping[str, Any]]) -> Chart | None:
    """Return the chart of the stored figures; None while no block is complete."""
    known = [name for name in Metric if name in metrics]
    curves = {name: metrics[name].get("curve") or [] for name in known}
    most = max((points[-1][0] for points in curves.values() if points), default=0)
    if not most:
        return None
    limits = sorted({each["threshold"] for each in metrics.values()})
    return Chart(
        lines=[
            Line(
                _words(name),
                name,
                _points(points, most),
                f"{_words(name)}: highest e-value {metrics[name]['e']:g},"
                f" threshold {metrics[name]['threshold']}",
            )
            for name, points in curves.items()
            if points
        ],
        grid=[(_y(power), _power(power)) for power in range(int(LOWEST), int(HIGHEST) + 1)],
        thresholds=[(_y(log10(limit)), f"{limit}") for limit in limits],
        ticks=[(_x(users, most), f"{users:,}") for users in _ticks(most)],
        summary=f"E-values of {len(metrics)} metrics over {most} users of the candidate. One above"
        " its threshold rolls back.",
    )


def _points(points: Sequence[Sequence[float]], most: int) -> str:
    drawn = [(0, 1.0), *((users, e) for users, e in points)]
    return " ".join(
        f"{_x(users, most):.1f},{_y(log10(e) if e > 0 else LOWEST):.1f}" for users, e in drawn
    )


def _x(users: float, most: int) -> float:
    return LEFT + (RIGHT - LEFT) * users / most


def _y(power: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * (max(LOWEST, min(power, HIGHEST)) - LOWEST) / (
        HIGHEST - LOWEST
    )


def _power(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"


def _ticks(most: int) -> list[int]:
    step = max(1, most // 5)
    size = 10 ** (len(str(step)) - 1)
    step = max(1, step // size * size)
    return list(range(0, most + 1, step))


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
