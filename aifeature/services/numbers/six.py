"""The six numbers of a feature now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from aifeature import registry
from aifeature.models import Evidence, Level
from aifeature.models.numbers import HOUR_S, SLOT_S
from aifeature.policies import numbers as policy
from aifeature.policies.numbers import BASELINE_DAYS, RULES, Judged, NumberLevel, Six, Unit
from aifeature.services import controls
from aifeature.services.numbers import audits, costs, people, windows
from aifeature.services.numbers.sums import Sums
from aifeature.services.numbers.windows import By

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a feature over its window."""

    name: str
    """A value of `policies.numbers.Six`."""
    value: float | None
    """None without data, and for an evaluation below its floor that was compared with nothing."""
    threshold: float
    """In the same unit as the value."""
    level: Level | None
    """None: too few data."""
    sample: int
    least: int
    """Samples without which there is no level."""
    window_s: int
    unit: Unit
    """`share` (0 to 1), `s`, `ratio` (to the baseline), or `points` (percentage points)."""
    low: float | None
    high: float | None
    """The interval of the value at 95 %, if it has one."""
    begins: datetime
    """Beginning of the window: rows from then on were counted."""
    measured_at: datetime
    """Now, or the time of the newest data of a number that is measured weekly."""
    version: str = ""
    """The prompt to whose answers the samples belong; empty: those of all prompts."""
    bound: float | None = None
    """Of a red share: the one-sided bound that is above the threshold."""

    @property
    def title(self) -> str:
        """Its name for people, such as `Error rate`."""
        return RULES[Six(self.name)].title


def of(slug: str, now: datetime) -> dict[str, Number]:
    """Return the six numbers of a feature by name.

    Example:
        >>> of("summarize", now)["errors"].level  # doctest: +SKIP
        <Level.GREEN: 'green'>
    """
    return {name.value: measure(slug, now) for name, measure in MEASURES.items()}


def errors(slug: str, now: datetime) -> Number:
    return _windowed(Six.ERRORS, slug, now, lambda s: policy.errors(s.failed, s.ended))


def latency(slug: str, now: datetime) -> Number:
    return _windowed(Six.LATENCY, slug, now, lambda s: policy.latency(s.p95_s, s.slow, s.timed))


def thumbs_down(slug: str, now: datetime) -> Number:
    """Measure the votes on answers of the live prompt if they are enough, else all votes.

    So a prompt is not blamed for the one before it, whose votes count for a week.
    """
    (window,) = RULES[Six.THUMBS_DOWN].windows
    begin, version = windows.floor(now - window, HOUR_S), _live_version(slug)
    own = windows.sums(slug, begin, now, by=By.VERSION).get(version, Sums())
    if not version or own.votes < RULES[Six.THUMBS_DOWN].least:
        version, own = "", windows.sums(slug, begin, now)[""]
    judged = policy.thumbs_down(own.votes_down, own.votes)
    judged = _by_people(Six.THUMBS_DOWN, slug, judged, begin, begin, now, version)
    return _number(Six.THUMBS_DOWN, judged, begin, window, now, version)


def cost(slug: str, now: datetime) -> Number:
    today = now.date()
    before = costs.days(slug, today - BASELINE_DAYS * _DAY, today - _DAY)
    baseline = [each.spend_micro / each.users for each in before if each.users]
    judged = policy.cost(list(costs.of_users(slug, now).values()), baseline)
    begins = windows.floor(now, HOUR_S) - _DAY + timedelta(hours=1)
    return _number(Six.COST, judged, begins, _DAY, now)


def evals(slug: str, now: datetime) -> Number:
    rows = Evidence.objects.filter(
        feature=slug, origin=Evidence.Origin.WEEKLY, measured_at__lte=now
    )
    newest = rows.order_by("-created_at", "-id").first()
    window = RULES[Six.EVALS].windows[0]
    if newest is None:
        return _number(Six.EVALS, Judged(None, None, 0), now - window, window, now)
    verdict = newest.verdict
    judged = policy.evals(
        str(verdict.get("decision", "")),
        verdict.get("difference_points"),
        int(verdict.get("cases") or 0),
        _interval(verdict.get("difference_interval")),
    )
    at = newest.measured_at
    return _number(Six.EVALS, judged, at - window, window, at)


def hallucinations(slug: str, now: datetime) -> Number:
    found, window = audits.rate(slug, now), RULES[Six.HALLUCINATIONS].windows[0]
    if found is None:
        return _number(Six.HALLUCINATIONS, Judged(None, None, 0), now - window, window, now)
    judged = policy.hallucinations(
        (found.hallucinated, found.labels), (found.hallucinated_of_four, found.labels_of_four)
    )
    begins = datetime(found.week.year, found.week.month, found.week.day, tzinfo=now.tzinfo)
    return _number(Six.HALLUCINATIONS, judged, begins, window, found.labelled_at)


MEASURES: Final[Mapping[Six, Callable[[str, datetime], Number]]] = MappingProxyType(
    {
        Six.ERRORS: errors,
        Six.LATENCY: latency,
        Six.COST: cost,
        Six.THUMBS_DOWN: thumbs_down,
        Six.EVALS: evals,
        Six.HALLUCINATIONS: hallucinations,
    }
)


SUMMED: Final = frozenset({Six.ERRORS, Six.LATENCY, Six.THUMBS_DOWN})
"""Those of the sums. If these were not updated, the numbers are old, and not of now."""


def _windowed(name: Six, slug: str, now: datetime, judge: Callable[[Sums], Judged]) -> Number:
    """Return a number over the one of its windows that counts."""
    spans = RULES[name].windows
    begins = [windows.floor(now - span, SLOT_S) for span in spans]
    found = [
        _by_people(name, slug, judge(windows.sums(slug, begin, now)[""]), begin, begins[-1], now)
        for begin in begins
    ]
    at, judged = policy.over_windows(name, found)
    return _number(name, judged, begins[at], spans[at], now)


def _by_people(
    name: Six,
    slug: str,
    judged: Judged,
    begin: datetime,
    first: datetime,
    now: datetime,
    version: str = "",
) -> Judged:
    """Return what is judged from `begin`, if enough of the people since `first` had it."""
    if judged.level is not NumberLevel.RED:
        return judged
    counts = people.counts(name, slug, begin, now, version)
    return policy.by_people(name, judged, counts, people.active(name, slug, first, now))


def _live_version(slug: str) -> str:
    feature = registry.find(slug)
    return (controls.live_version(feature) or "") if feature else ""


def _number(
    name: Six,
    judged: Judged,
    begins: datetime,
    window: timedelta,
    measured_at: datetime,
    version: str = "",
) -> Number:
    rule = RULES[name]
    return Number(
        name=name.value,
        value=judged.value,
        threshold=rule.threshold,
        level=None if judged.level is None else Level(judged.level.value),
        sample=judged.sample,
        least=rule.least,
        window_s=int(window.total_seconds()),
        unit=rule.unit,
        low=judged.low,
        high=judged.high,
        begins=begins,
        measured_at=measured_at,
        version=version,
        bound=judged.bound,
    )


def _interval(found: object) -> tuple[float, float] | None:
    """Return both ends of a stored interval."""
    if not isinstance(found, dict) or not {"low", "high"} <= found.keys():
        return None
    return float(found["low"]), float(found["high"])
