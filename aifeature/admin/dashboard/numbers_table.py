"""The table of the six numbers: metric, alert when, and the level of each feature now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aifeature.admin.alerting import open_alerts
from aifeature.admin.common.names import title_of
from aifeature.admin.common.show import span
from aifeature.admin.dashboard.units import NONE
from aifeature.models import HealthReading, Level
from aifeature.policies.numbers import RULES, Six
from aifeature.services.numbers.six import Number

STALE_AFTER: Final = timedelta(minutes=5)
"""Age of the newest measurement after which the page warns. The check runs each minute."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table. The words are those of the roadmap."""

    name: Six
    title: str
    alert_when: str
    alert: str
    """The kind of its alerts, which names the runbook."""
    model: str
    """The model whose permission shows it."""
    chart: str
    """The chart with its series."""

    @property
    def runbook(self) -> str:
        """The path of the page that describes what to do."""
        return open_alerts.runbook(self.alert)


METRICS: Final = (
    Metric(
        *(Six.LATENCY, "Latency, 95th percentile", "above 10 seconds"),
        *("latency_high", "job", "latency"),
    ),
    Metric(Six.ERRORS, "Error rate", "above 2 %", "errors_high", "job", "errors"),
    Metric(
        *(Six.COST, "Cost per user and day", "above twice the baseline"),
        *("cost_per_user_high", "spendwindow", "cost-per-user"),
    ),
    Metric(
        *(Six.EVALS, "Eval pass rate, weekly", "drops by more than 10 points"),
        *("eval_regression", "evals.weeklyrun", "evals"),
    ),
    Metric(
        *(Six.THUMBS_DOWN, "Thumbs down", "above 20 %"),
        *("thumbs_down_high", "feedback", "satisfaction"),
    ),
    Metric(
        *(Six.HALLUCINATIONS, "Hallucination rate, audited", "above 5 %"),
        *("hallucinations_high", "auditedanswer", "hallucinations"),
    ),
)

LEVELS: Final[Mapping[Level | None, tuple[str, str, str]]] = {
    Level.GREEN: ("good", "check_circle", "Green"),
    Level.AMBER: ("doubt", "warning", "Amber"),
    Level.RED: ("bad", "error", "Red"),
    None: ("none", "hourglass_empty", "Too few data"),
}
"""Tone, icon and word of each level. The word is always shown: colour is never alone."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of one feature."""

    feature: str
    tone: str
    icon: str
    word: str
    value: str
    unit: str
    notes: tuple[str, ...]
    """Interval, sample, window and since when, each a short phrase."""
    spark: str = ""
    """Points of a line in a box of 100 by 24; empty without a series."""


@dataclass(frozen=True, slots=True)
class Row:
    metric: Metric
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    features: tuple[str, ...]
    rows: tuple[Row, ...]
    worst: str
    """A sentence about all levels, which a screen reader and a phone show first."""


Numbers = Mapping[str, Mapping[str, Number]]
Readings = Mapping[tuple[str, str], HealthReading]
Sparks = Mapping[tuple[str, str], Sequence[float | None]]


def table(
    numbers: Numbers,
    readings: Readings,
    now: datetime,
    *,
    may_see: Callable[[str], bool],
    sparks: Sparks | None = None,
) -> Table:
    """Return the table of these features, with the rows that the visitor may see.

    Args:
        numbers: By feature, its numbers by name.
        readings: Stored readings, which have the begin of a level.
        now: The time of the page.
        may_see: Returns whether rows of this model may be seen.
        sparks: Recent values by feature and number, oldest first.
    """
    rows = tuple(
        Row(
            metric,
            tuple(
                _cell(
                    slug,
                    found[metric.name],
                    readings.get((slug, metric.name)),
                    now,
                    spark((sparks or {}).get((slug, metric.name), ())),
                )
                for slug, found in numbers.items()
            ),
        )
        for metric in METRICS
        if may_see(metric.model)
    )
    found = in_words(rows)
    if rows and len(rows) < len(METRICS):
        found = f"{found} You may not see all six."
    return Table(tuple(title_of(slug) for slug in numbers), rows, found)


def in_words(rows: Iterable[Row]) -> str:
    """Return how many numbers are red, amber and unknown.

    Example:
        >>> in_words([])
        'No number is red or amber.'
    """
    words = [cell.word for row in rows for cell in row.cells]
    parts = [
        f"{words.count(word)} {text}"
        for word, text in (
            ("Red", "red"),
            ("Amber", "amber"),
            ("Too few data", "with too few data"),
        )
        if word in words
    ]
    if not {"Red", "Amber"} & set(words):
        rest = f" {parts[-1]}." if parts else ""
        return (
            f"No number is red or amber.{rest[:1]}{rest[1:].capitalize()}"
            if rest
            else ("No number is red or amber.")
        )
    return f"Numbers: {', '.join(parts)}."


def _cell(
    slug: str, number: Number, reading: HealthReading | None, now: datetime, line: str
) -> Cell:
    tone, icon, word = LEVELS[number.level]
    value, unit = value_of(number)
    return Cell(title_of(slug), tone, icon, word, value, unit, _notes(number, reading, now), line)


def value_of(number: Number) -> tuple[str, str]:
    """Return the value and its unit; a dash if there is none."""
    value = number.value
    if value is None:
        return NONE, ""
    match number.unit:
        case "share":
            return f"{100 * value:.1f}", "%"
        case "s":
            return f"{value:.1f}", "s"
        case "ratio":
            return f"{value:.1f}", "times baseline"
        case "points":  # a drop is positive
            return f"{-value:+.1f}" if round(value, 1) else "0.0", "points"


def _notes(number: Number, reading: HealthReading | None, now: datetime) -> tuple[str, ...]:
    notes = [_interval(number), f"{_sample(number)}, {window(number.window_s)}"]
    if number.level and reading and reading.level == number.level and reading.since <= now:
        notes.append(f"since {_when(reading.since, now)}")
    return tuple(note for note in notes if note)


def _sample(number: Number) -> str:
    counted = RULES[Six(number.name)].counted
    if not number.sample:
        return f"no {counted} yet, {number.least:,} needed"
    if number.level is None and number.sample < number.least:
        return f"{number.sample:,} of {number.least:,} {counted} needed"
    return f"{number.sample:,} {counted}"


def _interval(number: Number) -> str:
    if number.low is None or number.high is None or number.value is None:
        return ""
    match number.unit:
        case "share":
            return f"{100 * number.low:.1f} to {100 * number.high:.1f} %"
        case "ratio":
            return f"{number.low:.1f} to {number.high:.1f} times"
        case "points":
            return f"{-number.high:+.1f} to {-number.low:+.1f} points"
        case _:
            return f"{number.low:.1f} to {number.high:.1f} {number.unit}"


def window(seconds: int) -> str:
    """Return a length of whole hours or days, such as 1 h or 7 days, on one line."""
    hours = seconds // 3_600
    return f"{hours // 24}\N{NO-BREAK SPACE}days" if hours > 24 else f"{hours}\N{NO-BREAK SPACE}h"  # noqa: PLR2004


def _when(since: datetime, now: datetime) -> str:
    if since.date() == now.date():
        return f"{since:%H:%M} UTC"
    return f"{since:%d %b %H:%M} UTC"


def spark(values: Sequence[float | None]) -> str:
    """Return the points of a small line in a box of 100 by 24, from zero to the highest value.

    Hours without a value are left out. Fewer than two values are no line.
    """
    known = [(at, value) for at, value in enumerate(values) if value is not None]
    if len(known) < 2:  # noqa: PLR2004
        return ""
    most = max(value for _, value in known) or 1.0
    right = len(values) - 1
    return " ".join(f"{100 * at / right:.1f},{22 - 20 * value / most:.1f}" for at, value in known)


def stale(measured_at: datetime | None, now: datetime) -> str:
    """Return a warning if the check of the numbers is late; empty if it is not."""
    if measured_at is None:
        return (
            "The check of the numbers has not stored any yet. It runs each minute on the worker"
            " of the queue control."
        )
    age = now - measured_at
    if age <= STALE_AFTER:
        return ""
    return (
        f"The check of the numbers last ran {span(age.total_seconds())} ago. Alerts and actions"
        " wait for it. See Checks, and the worker of the queue control."
    )
