"""`manage.py cost_spike`: what the cost-spike check would have done, and how often it errs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature.services.spikes import check, rehearsal, telling
from aifeature.services.spikes.attacks import ATTACKS
from aifeature.services.spikes.judge import Rules
from aifeature.services.spikes.replay import Event
from aifeature.services.spikes.simulation import Outcome, Timed, simulate

WORLDS: Final = 10
"""Worlds of sixty days that are judged together: twenty months."""

SHOWN: Final = 20


class Command(BaseCommand):
    """Stops nothing and throttles nobody."""

    help = (
        "Without changing anything: --dry-run says what the cost-spike check would have done in"
        " the past days, --simulate how often it errs and how fast it acts in made-up worlds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Which of the two."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--dry-run", action="store_true")
        which.add_argument("--simulate", action="store_true")
        parser.add_argument(
            "--days", type=int, help="Past days (default 7), or length of each world (60)."
        )
        parser.add_argument("--seed", type=int, default=1, help="Of the first world.")
        parser.add_argument("--worlds", type=int, default=WORLDS)

    def handle(
        self,
        *,
        dry_run: bool,
        days: int | None,
        seed: int,
        worlds: int,
        **_: Any,
    ) -> None:
        """Say it.

        Raises:
            CommandError: the number of days or worlds makes no sense.
        """
        days = days or (7 if dry_run else 60)
        least, most = (1, 50) if dry_run else (28, 365)
        if not least <= days <= most or worlds < 1:
            raise CommandError(f"--days takes {least} to {most}, --worlds at least 1.")
        if dry_run:
            self._dry_run(days)
        else:
            found = [simulate(seed + n, days=days, rules=Rules()) for n in range(worlds)]
            self._simulated(found, seed)

    def _dry_run(self, days: int) -> None:
        found = rehearsal.rehearse(check.database_now(), days=days, rules=Rules())
        self.stdout.write(
            f"Past {days} days and today, looked at every five minutes. Within an hour, spend is"
            " taken to be even: moments are right within the hour."
        )
        for event in found:
            self.stdout.write(f"{event.at:%Y-%m-%d %H:%M} UTC  {_what(event)}")
        throttles = sum(event.is_throttle for event in found)
        self.stdout.write(f"{throttles} users throttled, {len(found) - throttles} switches pulled.")
        self._figures("dry_run", days=days, throttles=throttles, trips=len(found) - throttles)

    def _simulated(self, found: Sequence[Outcome], seed: int) -> None:
        alarms = [event for outcome in found for event in outcome.alarms]
        months = sum(outcome.days for outcome in found) / 30
        throttles = sum(event.is_throttle for event in alarms)
        each = Counter("users" if event.is_throttle else event.key for event in alarms)
        self.stdout.write(f"{len(found)} worlds, {months:.0f} months in all, from seed {seed}")
        self.stdout.write(f"False alarms per month: {len(alarms) / months:.2f}")
        for who, count in each.most_common():
            self.stdout.write(f"  {who:<16}{count / months:8.2f}")
        for event in alarms[:SHOWN]:
            self.stdout.write(f"  {event.at:%a %H:%M} {_what(event)}")
        self.stdout.write(
            f"{'attack':<18}{'median min':>12}{'9 of 10':>10}{'missed':>8}{'spent':>10}"
        )
        timed = {
            name: [t for o in found for t in o.attacks if t.attack == name] for name in ATTACKS
        }
        results = {name: _times(runs) for name, runs in timed.items()}
        for name, result in results.items():
            cells = [*list(result.values())[:-1], telling.dollars(result["spent_micro"])]
            self.stdout.write(name.ljust(18) + "".join(str(cell).rjust(12) for cell in cells))
        self._figures(
            "simulation",
            months=round(months, 1),
            false_alarms_per_month=round(len(alarms) / months, 2),
            throttles_per_month=round(throttles / months, 2),
            trips_per_month=round((len(alarms) - throttles) / months, 2),
            attacks=results,
        )

    def _figures(self, name: str, **figures: Any) -> None:
        self.stdout.write(json.dumps({"cost_spike": name, **figures}))


def _what(event: Event) -> str:
    deed = "throttle" if event.is_throttle else "stop"
    return f"{deed} {telling.name(event.key)}: {telling.why(event.verdict, event.at)}"


def _times(runs: Sequence[Timed]) -> dict[str, Any]:
    """Minutes from the beginning of an attack; None where it was missed."""
    missed = sum(run.minutes is None for run in runs)
    minutes = sorted(run.minutes for run in runs if run.minutes is not None)
    rank = -(-len(runs) * 9 // 10) - 1
    return {
        "median_min": median(minutes) if minutes else None,
        "p90_min": minutes[rank] if rank < len(minutes) else None,
        "missed": missed,
        "spent_micro": round(median(run.lost_micro for run in runs)),
    }
