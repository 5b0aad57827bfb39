"""The check of the six numbers, once a minute: sum up, measure, open and close alerts, act.

`docs/design/alerts.md` describes the life of an alert.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import transaction

from aifeature.models import Alert, HealthReading, Level
from aifeature.models.functions import database_now
from aifeature.policies import alarms as policy
from aifeature.policies.alarms import Seen, Step
from aifeature.policies.numbers import Six
from aifeature.services import ticks
from aifeature.services.alarms import actions, changes, endings, words
from aifeature.services.alarms.actions import State
from aifeature.services.alarms.rules import KINDS
from aifeature.services.alerting import alerts, check_runs
from aifeature.services.alerting.check_runs import Found
from aifeature.services.numbers import readings, rollup, six
from aifeature.services.numbers.six import Number
from aifeature.services.rollout.health import AHEAD, FRESH

logger = logging.getLogger(__name__)

TASK: Final = "control.numbers"

LOOKED_S: Final = 2 * 86_400
"""The longest time before an alert in which changes are looked up."""

CHANGES_SHOWN: Final = 10

_MINUTE: Final = ticks.every(60)
_HOUR_S: Final = 3_600
_NUMBERS: Final[Mapping[str, str]] = {kind: number for number, kind in KINDS.items()}

Measured = Mapping[str, Mapping[str, Number]]


class IncompleteError(Exception):
    """A part of the check failed, so a number may not be watched. The check becomes late."""


def run_once() -> bool:
    """Run the check unless another process has run it in this minute. Return whether it ran."""
    if not ticks.claim(TASK, _MINUTE):
        return False
    check_runs.run(TASK, check)
    return True


def check(now: datetime | None = None) -> Found:
    """Update the numbers, then open and close their alerts. A part that fails stops no other part.

    `now` is the present time, by default the database's. Two processes may run it at the same time:
    each alert is opened, with its action, by one of them.

    Raises:
        IncompleteError: A part failed. All other parts were done.
    """
    now = now or database_now()
    failed: list[str] = []
    names = set(Six) - six.SUMMED  # old sums must not look like fresh readings
    with _noted("the roll-up", failed):
        rollup.roll_up(now)
        names = set(Six)
    measured: Measured = {}
    with _noted("the readings", failed):
        measured = readings.measure(now, lambda name: _noted(f"reading {name}", failed), names)
    found: list[str] = []
    for slug, name in _to_check(measured):
        with _noted(f"{name} of {slug}", failed):
            number = measured.get(slug, {}).get(name)
            found += _Watched(slug, name, number, now).check()
    with _noted("the alerts of removed features", failed):
        found += endings.end_removed()
    if failed:
        raise IncompleteError(f"These parts failed, see the log: {', '.join(failed)}.")
    open_ones = Alert.objects.filter(kind__in=KINDS.values(), closed_at=None).count()
    still = f"{open_ones} alerts about numbers are open." if open_ones else "No number is red."
    return Found(not open_ones, " ".join(found) or still, {"open": open_ones})


def _to_check(measured: Measured) -> Iterable[tuple[str, str]]:
    """Return the features and numbers that are red or have an open alert."""
    pairs = {
        (slug, name)
        for slug, numbers in measured.items()
        for name, number in numbers.items()
        if name in KINDS and number.level is Level.RED
    }
    rows = Alert.objects.filter(kind__in=KINDS.values(), closed_at=None)
    pairs |= {(slug, _NUMBERS[kind]) for kind, slug in rows.values_list("kind", "subject")}
    return sorted(pairs)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A number of a feature at one check."""

    slug: str
    name: str
    number: Number | None
    now: datetime

    @property
    def kind(self) -> str:
        return KINDS[self.name]

    def check(self) -> list[str]:
        """Open, keep or close the alert. Return a phrase about what changed."""
        with transaction.atomic():
            # The lock of the reading lets one process decide. Another one skips this number.
            readings_ = HealthReading.objects.select_for_update(skip_locked=True)
            reading = readings_.filter(feature=self.slug, number=self.name).first()
            if reading is None:
                return []
            alert = Alert.objects.filter(kind=self.kind, subject=self.slug, closed_at=None).first()
            level = self._level()
            broken_at = self._broken_at(alert, level) if alert else None
            seen = Seen(
                level=level,
                is_open=alert is not None,
                green_s=self._green_s(reading, broken_at),
                openings=self._openings() if alert else 1,
                is_idle=alert is not None and self._is_idle(),
            )
            match policy.step(seen):
                case Step.OPEN:
                    return self._open(reading)
                case Step.KEEP if alert is not None:
                    self._keep(alert, level, broken_at)
                case Step.CLOSE if alert is not None and seen.is_idle:
                    why = f"{self.slug} is turned off, and nothing is left to count"
                    endings.end(alert, why)
                    return [f"{why}: the alert about {self.name} ended."]
                case Step.CLOSE:
                    alerts.end(self.kind, self.slug)
                    return [f"{self.slug}: {self.name} is green again."]
        return []

    def _level(self) -> Level | None:
        """Return the level if the data are fresh."""
        if self.number is None:
            return None
        age = self.now - self.number.measured_at
        return self.number.level if -AHEAD <= age <= FRESH[self.name] else None

    def _is_idle(self) -> bool:
        """Return whether the feature is turned off, and nothing is left in the window."""
        number = self.number
        if number is None:
            return False
        is_old = self.now - number.measured_at > FRESH[self.name]
        return (is_old or not number.sample) and endings.is_turned_off(self.slug)

    def _broken_at(self, alert: Alert, level: Level | None) -> datetime | None:
        """Return when the number was last not known to be green."""
        gap = (self.now - alert.seen_at).total_seconds()
        if level is not Level.GREEN or gap > policy.LONGEST_GAP_S:
            return self.now
        broken_at = _moment(alert.figures.get("broken_at"))
        # A moment in the future is from a clock that was ahead.
        return min(broken_at, self.now) if broken_at else None

    def _green_s(self, reading: HealthReading, broken_at: datetime | None) -> float:
        begins = max(reading.since, broken_at) if broken_at else reading.since
        return (self.now - begins).total_seconds()

    def _openings(self) -> int:
        since = self.now - timedelta(seconds=policy.REMEMBERED_S)
        rows = Alert.objects.filter(kind=self.kind, subject=self.slug, opened_at__gt=since)
        return rows.count()

    def _open(self, reading: HealthReading) -> list[str]:
        """Open the alert and do the action, in one transaction."""
        number = self.number
        if number is None:
            return []
        looked_s = min(LOOKED_S, number.window_s + _HOUR_S)
        before = self._changes(looked_s)
        text = words.sentence(self.slug, number)
        figures = _figures(number, reading, self.now, before or [])
        outcome = actions.act(self.slug, number, text, figures)
        cause = (
            "What was changed before could not be read."
            if before is None
            else words.before(before, self.now, looked_s)
        )
        summary = f"{text} {cause} {outcome.text}"
        figures |= {"text": f"{text} {cause}", "action": outcome.as_json()}
        alerts.begin(self.kind, self.slug, summary, figures)
        return [summary]

    def _changes(self, looked_s: int) -> list[changes.Change] | None:
        """Return what changed before. None if that fails: an alert must not depend on it."""
        try:
            with transaction.atomic():
                begin = self.now - timedelta(seconds=looked_s)
                return changes.between(self.slug, begin, self.now)
        except Exception:
            logger.exception("six numbers: the changes before an alert of %s", self.slug)
            return None

    def _keep(self, alert: Alert, level: Level | None, broken_at: datetime | None) -> None:
        """Keep the figures of the beginning. Try the action again if it failed."""
        alert.seen_at = self.now
        alert.figures["broken_at"] = broken_at.isoformat() if broken_at else None
        done = alert.figures.get("action") or {}
        again = done.get("state") == State.FAILED and done.get("tries", 0) < policy.MOST_TRIES
        if again and level is Level.RED and self.number is not None:
            figures = {key: alert.figures[key] for key in alert.figures if key != "action"}
            text = alert.figures.get("text", alert.summary)
            outcome = actions.again(self.slug, self.number, text, figures, done["tries"])
            alert.figures["action"] = outcome.as_json()
            alerts.begin_or_renew(self.kind, self.slug, f"{text} {outcome.text}")
        Alert.objects.filter(pk=alert.pk).update(seen_at=alert.seen_at, figures=alert.figures)


def _figures(
    number: Number, reading: HealthReading, now: datetime, before: list[changes.Change]
) -> dict[str, Any]:
    return {
        "number": number.name,
        **readings.figures(number),
        "ends": now.isoformat(),
        "since": reading.since.isoformat(),
        "changes": [
            {"at": each.at.isoformat(), "kind": each.kind.value, "text": each.text}
            for each in before[-CHANGES_SHOWN:]
        ],
    }


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None


@contextmanager
def _noted(name: str, failed: list[str]) -> Iterator[None]:
    """Log an exception of the block, and note its name."""
    try:
        yield
    except Exception:
        # The text of an error may quote values. The log's formatter removes them.
        logger.exception("six numbers: %s failed", name)
        failed.append(name)
