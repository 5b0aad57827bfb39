"""`manage.py shadow start|stop|show`: let a candidate answer live requests again, unseen."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature.management import operators
from aifeature.management.operators import confirm, person_with
from aifeature.models import Shadow
from aifeature.money import cents
from aifeature.services.shadows import report, running
from aifeature.services.shadows.report import Report, Side
from aifeature.services.shadows.running import CannotStartError

PERMISSION: Final = "aifeature.add_shadow"


class Command(BaseCommand):
    """Shows what it will do and requires confirmation. Each change writes an audit row."""

    help = (
        "A candidate answers a share of a feature's requests again, after their users have their"
        " answers, and a judge compares the two. See docs/design/shadow.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="start|stop|show")
        show = actions.add_parser("show", help="Print the report of the newest shadow.")
        show.add_argument("feature")
        start = actions.add_parser("start", help="Start a shadow.")
        start.add_argument("feature")
        start.add_argument("version", help="The candidate, such as v5.")
        start.add_argument("--percent", type=int, default=5, help="Share of the requests.")
        start.add_argument("--budget", required=True, help="Dollars of a UTC day.")
        start.add_argument("--days", type=int, default=7, help="Until it ends by itself.")
        stop = actions.add_parser("stop", help="Stop the running shadow of a feature.")
        stop.add_argument("feature")
        for each in (start, stop):
            operators.add_arguments(each)

    def handle(self, *, action: str, feature: str, **options: Any) -> None:
        """Run the action. It changes nothing if it raises CommandError."""
        match action:
            case "show":
                self._show(feature)
            case "start":
                self._start(feature, **options)
            case _:
                self._stop(feature, **options)

    def _start(
        self,
        slug: str,
        *,
        version: str,
        percent: int,
        budget: str,
        days: int,
        user: str,
        reason: str,
        **options: Any,
    ) -> None:
        person = person_with(PERMISSION, user)
        values: dict[str, Any] = {
            "slug": slug,
            "version": version,
            "percent": percent,
            "daily_budget_usd": _dollars(budget),
            "days": days,
            "reason": reason,
        }
        try:
            live, _ = running.check(**values)
            self.stdout.write(
                f"{version} answers {percent} % of the requests of {slug} again, for {days} days"
                f" and ${values['daily_budget_usd']} a day at most. It is compared with {live}."
            )
            confirm("Start it?", **options)
            shadow = running.start(**values, user_id=person.pk)
        except CannotStartError as refused:
            raise CommandError(str(refused)) from None
        self.stdout.write(f"Started: {running.in_words(shadow)}.")

    def _stop(self, slug: str, *, user: str, reason: str, **options: Any) -> None:
        person = person_with(PERMISSION, user)
        shadow = running.of(slug)
        if shadow is None:
            raise CommandError(f"No shadow of {slug} is running.")
        self.stdout.write(f"This ends: {running.in_words(shadow)}.")
        confirm("Stop it?", **options)
        try:
            stopped = running.stop(slug, reason=reason, user_id=person.pk, pk=shadow.pk)
        except ValueError as error:
            raise CommandError(f"{error}.") from None
        self.stdout.write("It is stopped." if stopped else "It had ended before.")

    def _show(self, slug: str) -> None:
        shadow = Shadow.objects.filter(feature=slug).first()
        if shadow is None:
            raise CommandError(f"{slug} never had a shadow.")
        for line in _lines(report.of(shadow)):
            self.stdout.write(line)


def _dollars(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise CommandError(f"{text!r} is no amount in dollars.") from None


def _lines(found: Report) -> list[str]:
    shadow = found.shadow
    return [
        f"{shadow.feature}: {running.in_words(shadow)}; {shadow.state}",
        found.sentence,
        f"better: {found.wins}, tie: {found.ties}, worse: {found.losses}",
        f"under way: {found.open}, without a verdict: {found.unjudged}",
        *(f"  {problem}: {n}" for problem, n in found.problems.items()),
        f"{shadow.version}: {_side(found.candidate)}",
        f"{shadow.live_version}: {_side(found.live)}",
        f"spend today: {cents(found.spent_micro)} of {cents(found.budget_micro)}",
        report.NO_EVIDENCE,
    ]


def _side(side: Side) -> str:
    if side.cost_micro is None or side.latency_s is None:
        return "no judged answer yet"
    return f"{side.cost_micro:,.0f} micro-dollars and {side.latency_s:.1f} s for an answer"
