"""`manage.py ramp start|stop|resume|show`: raise a feature's percentage step by step."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature import registry
from aifeature.management import operators
from aifeature.management.operators import confirm, person_with
from aifeature.models import Ramp, Stage
from aifeature.services.rollout import health, impact, ramps

CHANGE: Final = "aifeature.change_featurecontrol"
MOVES: Final = 10


class Command(BaseCommand):
    """Shows the blast radius of each step and requires confirmation."""

    help = "Show, start, stop or resume the ramp of a feature. See deploy/runbooks/ramp.md."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="start|stop|resume|show"
        )
        show = actions.add_parser("show", help="Show a feature's ramp, its health and last moves.")
        show.add_argument("feature")
        for name in ("start", "stop", "resume"):
            action = actions.add_parser(name)
            action.add_argument("feature")
            operators.add_arguments(action)
            if name == "start":
                action.add_argument(
                    "--steps", type=int, nargs="+", required=True, help="Such as 5 10 25 100."
                )
                action.add_argument(
                    "--hours", type=int, required=True, help="Healthy hours per step, 1 to 720."
                )

    def handle(self, *, action: str, feature: str, **options: Any) -> None:
        """Run the action. It changes nothing if it raises CommandError."""
        if registry.find(feature) is None:
            choices = ", ".join(sorted(registry.offered()))
            raise CommandError(f"There is no feature {feature!r}. Choose one of: {choices}")
        try:
            match action:
                case "show":
                    self._show(feature)
                case "start":
                    self._start(feature, **options)
                case _:
                    self._end_or_resume(feature, action, **options)
        except ramps.RefusedError as error:
            raise CommandError(f"{error} Nothing was changed.") from None

    def _show(self, slug: str) -> None:
        found = health.read(slug)
        self.stdout.write(f"Health of {slug}: {found.level}. {found.why}".rstrip())
        ramp = ramps.latest(slug)
        if ramp is None:
            self.stdout.write("No ramp was started.")
            return
        hours = f"{ramp.healthy_s / 3_600:.1f} of {ramp.hours_per_step} healthy hours"
        held = f" {ramp.hold_reason}" if ramp.hold_reason else ""
        state = ramp.state.replace("_", " ")
        self.stdout.write(
            f"Ramp {ramps.in_words(ramp)}: {state} at {ramps.percent_of(ramp)} %, {hours}.{held}"
        )
        for row in ramps.moves(slug)[:MOVES]:
            who = row.user.get_username() if row.user else row.check_name
            moved = f"{row.field} {row.old or 'not set'} → {row.new}"
            self.stdout.write(f"  {row.at:%Y-%m-%d %H:%M} UTC {who}: {moved}: {row.reason}")

    def _start(
        self, slug: str, *, user: str, reason: str, steps: list[int], hours: int, **options: Any
    ) -> None:
        person = person_with(CHANGE, user)
        for step in steps:
            self.stdout.write(
                f"{step} %: {impact.of(slug, stage=Stage.PERCENT, percent=step).reach}"
            )
        confirm(f"Start a ramp of {slug} with {hours} healthy hours for each step?", **options)
        ramp = ramps.start(
            slug, steps=steps, hours_per_step=hours, reason=reason, user_id=person.pk
        )
        self._say(ramp, "is started")

    def _end_or_resume(
        self, slug: str, action: str, *, user: str, reason: str, **options: Any
    ) -> None:
        person = person_with(CHANGE, user)
        confirm(f"{action.capitalize()} the ramp of {slug}?", **options)
        if action == "stop":
            self._say(ramps.stop(slug, reason=reason, user_id=person.pk), "is stopped")
        else:
            self._say(ramps.resume(slug, reason=reason, user_id=person.pk), "goes on")

    def _say(self, ramp: Ramp, what: str) -> None:
        self.stdout.write(f"The ramp of {ramp.feature} {what} at {ramps.percent_of(ramp)} %.")
