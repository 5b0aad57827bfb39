"""Health of a feature: the worst level of the numbers that a ramp depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from django.db.models import F
from django.db.models.functions import Now

from aifeature.models import HealthReading, Level
from aifeature.policies.ramps import HealthLevel

REQUIRED: Final = ("errors", "latency", "cost", "thumbs_down")
"""Numbers that must be green and fresh. A missing one holds a ramp."""

FRESH: Final[Mapping[str, timedelta]] = MappingProxyType(
    {
        **dict.fromkeys(REQUIRED, timedelta(minutes=15)),
        "evals": timedelta(days=8),
        "hallucinations": timedelta(days=8),
    }
)
"""Age up to which a number counts. Those that are not required count once they were measured."""

AHEAD: Final = timedelta(minutes=1)
"""Time by which a number may be measured in the future, since clocks differ."""

_WORST_FIRST: Final = (
    HealthLevel.RED,
    HealthLevel.MISSING,
    HealthLevel.STALE,
    HealthLevel.AMBER,
)

_NAMES: Final = MappingProxyType({"thumbs_down": "thumbs down", "evals": "evals pass rate"})


@dataclass(frozen=True, slots=True)
class Health:
    level: HealthLevel
    why: str = ""
    """The numbers with this level, each with its value and threshold. Empty if all are green."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """By number, its level, value and threshold, for the audit log."""


def read(slug: str) -> Health:
    """Return the health of a feature by the database's clock. The worst level wins.

    Example:
        >>> read("summarize").why  # doctest: +SKIP
        'Errors: amber, 0.03 (threshold 0.02).'
    """
    rows = HealthReading.objects.filter(feature=slug).annotate(age=Now() - F("measured_at"))
    readings = {row.number: row for row in rows if row.number in FRESH}
    levels = {name: _level(name, readings.get(name)) for name in (*REQUIRED, *readings)}
    figures = {
        name: {"level": level.value, **_value(readings.get(name))} for name, level in levels.items()
    }
    for worst in _WORST_FIRST:
        if found := [name for name, level in levels.items() if level is worst]:
            words = " ".join(_in_words(name, worst, readings.get(name)) for name in found)
            return Health(worst, words, figures)
    return Health(HealthLevel.GREEN, "", figures)


def _level(name: str, reading: Any) -> HealthLevel:
    if reading is None:
        return HealthLevel.MISSING
    if not -AHEAD <= reading.age <= FRESH[name]:
        return HealthLevel.STALE
    known = reading.level in Level  # a newer release may define another
    return HealthLevel(reading.level) if known else HealthLevel.MISSING


def _value(reading: HealthReading | None) -> dict[str, Any]:
    if reading is None or not isinstance(reading.figures, dict):
        return {}
    return {key: reading.figures[key] for key in ("value", "threshold") if key in reading.figures}


def _in_words(name: str, level: HealthLevel, reading: Any) -> str:
    shown = _NAMES.get(name, name).capitalize()
    if reading is None:
        return f"{shown}: never measured."
    if level is HealthLevel.STALE:
        return f"{shown}: last measured at {reading.measured_at:%Y-%m-%d %H:%M} UTC."
    value = _value(reading)
    threshold = f" (threshold {_plain(value['threshold'])})" if "threshold" in value else ""
    return f"{shown}: {level}, {_plain(value.get('value', 'no value'))}{threshold}."


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
