"""`manage.py cost_spike`: replay or simulate the cost-spike check."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature.models.functions import database_now
from aifeature.money import cents
from aifeature.services.monitoring.spikes import notices, rehearsal
from aifeature.services.monitoring.spikes.attacks import ATTACKS
from aifeature.services.monitoring.spikes.judge import Rules
from aifeature.services.monitoring.spikes.replay import Event
from aifeature.services.monitoring.spikes.simulation import EACH, Outcome, Simulated

WORLDS: Final = 8
DAYS: Final = 125
"""Judged days of each world: a thousand in all, as in the tests."""

SHOWN: Final = 20


class Command(BaseCommand):
    help = (
        "Changes nothing. --dry-run shows what the cost-spike check would have done in the past"
        " days; --simulate shows how often it errs and how fast it acts in simulated worlds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--dry-run", action="store_true")
        which.add_argument("--simulate", action="store_true")
        parser.add_argument(
            "--days",
            type=int,
            help=f"Past days (default 7), or days of each simulated world ({DAYS}).",
        )
        parser.add_argument("--seed", type=int, default=1, help="Seed of the first world.")
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
        days = days or (7 if dry_run else DAYS)
        least, most = (1, 50) if dry_run else (28, 365)
        if not least <= days <= most or worlds < 1:
            raise CommandError(f"--days takes {least} to {most}, --worlds at least 1.")
        if dry_run:
            self._dry_run(days)
        else:
            self._simulate(seed, worlds, days)

    def _dry_run(self, days: int) -> None:
        found = rehearsal.rehearse(database_now(), days=days, rules=Rules())
        self.stdout.write(
            f"Past {days} days and today, checked every five minutes. Spend is assumed to be even"
            " within an hour, so times are exact to the hour."
        )
        for event in found:
            self.stdout.write(f"{event.at:%Y-%m-%d %H:%M} UTC  {_what(event)}")
        throttles = sum(event.is_throttle for event in found)
        self.stdout.write(f"{throttles} users throttled, {len(found) - throttles} switches pulled.")
        self._figures("dry_run", days=days, throttles=throttles, trips=len(found) - throttles)

    def _simulate(self, seed: int, worlds: int, days: int) -> None:
        found = None
        for number in range(worlds):
            outcome = Simulated(seed + number, days=days).run(Rules(), each=EACH)
            found = outcome if found is None else found + outcome
            self.stdout.write(
                f"world {number + 1} of {worlds}: {len(outcome.trips)} false trips,"
                f" {outcome.throttled_share:.2%} of users throttled"
            )
            self.stdout.flush()
        if found is not None:
            self._simulated(found, seed, worlds)

    def _simulated(self, found: Outcome, seed: int, worlds: int) -> None:
        self.stdout.write(f"{worlds} worlds, {found.days} days in all, from seed {seed}")
        self.stdout.write(
            f"Throttled wrongly: {found.throttled} of {found.active} users of a month,"
            f" {found.throttled_share:.2%}"
        )
        self.stdout.write(
            f"Stopped wrongly: {len(found.trips)} times, {found.trips_a_year:.2f} a year"
        )
        for key, count in Counter(event.key for event in found.trips).most_common():
            self.stdout.write(f"  {notices.name(key):<16}{count}")
        for event in found.trips[:SHOWN]:
            self.stdout.write(f"  {event.at:%a %H:%M} {_what(event)}")
        self.stdout.write(
            f"{'attack':<18}{'median min':>12}{'9 of 10':>10}{'missed':>8}{'spent':>10}"
        )
        results = {name: found.of(name) for name in ATTACKS}
        for name, times in results.items():
            self.stdout.write(
                f"{name:<18}{times.median_min or '-':>12}{times.p90_min or '-':>10}"
                f"{times.missed:>8}{cents(times.lost_micro):>10}"
            )
        self._figures(
            "simulation",
            days=found.days,
            active=found.active,
            throttled=found.throttled,
            throttled_share=round(found.throttled_share, 4),
            trips=len(found.trips),
            trips_a_year=round(found.trips_a_year, 2),
            attacks={name: asdict(times) for name, times in results.items()},
        )

    def _figures(self, name: str, **figures: Any) -> None:
        self.stdout.write(json.dumps({"cost_spike": name, **figures}))


def _what(event: Event) -> str:
    deed = "throttle" if event.is_throttle else "stop"
    return f"{deed} {notices.name(event.key)}: {notices.why(event.verdict, event.at)}"
