"""`manage.py kill_switch status|stop|change_reason|release`. Works without admin and Redis."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from aifeature.management import operators
from aifeature.management.operators import confirm, person_with
from aifeature.models import KillMode
from aifeature.models.functions import urgently
from aifeature.services.controls import GLOBAL, switch, switch_refusal, switch_state
from aifeature.services.controls.switch_state import ALL, NOT_STOPPED, SwitchState

STOP: Final = "aifeature.stop_feature"
RELEASE: Final = "aifeature.release_feature"


class Command(BaseCommand):
    """Shows what it will do and requires confirmation. Needs only the database.

    It runs no system checks, so it works even if the code of a feature does not load.
    """

    requires_system_checks = ()
    help = (
        "Show, pull or release the kill switch of a feature, or of everything (`_everything`)."
        " See deploy/runbooks/kill-switch.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="status|stop|change_reason|release"
        )
        status = actions.add_parser("status", help="Show the state of each switch.")
        status.add_argument("feature", nargs="?", help="Only this one.")
        for name in ("stop", "change_reason", "release"):
            action = actions.add_parser(name)
            action.add_argument("feature", help="A feature, or _everything.")
            operators.add_arguments(action)
            if name != "release":
                jobs = action.add_mutually_exclusive_group()
                jobs.add_argument("--hold", dest="mode", action="store_const", const=KillMode.HOLD)
                jobs.add_argument(
                    "--cancel", dest="mode", action="store_const", const=KillMode.CANCEL
                )
                # Without the option, change_reason keeps the mode.
                action.set_defaults(mode=KillMode.HOLD if name == "stop" else None)
            else:
                action.add_argument(
                    *("--percent", "-p"), type=int, default=ALL, help="Share of users, 1 to 100."
                )

    def handle(self, *, action: str, feature: str | None, **options: Any) -> None:
        """Run the action. It changes nothing if it raises CommandError."""
        try:
            with urgently():
                match action:
                    case "status":
                        self._status(feature)
                    case "stop":
                        self._stop(_known(feature), **options)
                    case "change_reason":
                        self._change_reason(_known(feature), **options)
                    case _:
                        self._release(_known(feature), **options)
        except Error as error:
            refusal = switch_refusal.explain(error, feature or GLOBAL)
            lines = (f"{switch_refusal.UNCHANGED}.", *refusal.sentences)
            raise CommandError("\n".join(lines)) from error

    def _status(self, feature: str | None) -> None:
        names = [_known(feature)] if feature else switch.names()
        states = switch_state.of_all(names)
        for name in names:
            state = states.get(name, SwitchState(name))
            self.stdout.write(f"{name}: {switch_state.under_way(name)}; {_in_words(state)}")

    def _stop(self, slug: str, *, user: str, reason: str, mode: KillMode, **options: Any) -> None:
        person = person_with(STOP, user)
        state = switch_state.of(slug)
        if state.killed:
            self._already(state, mode)
            return
        became = "held" if mode is KillMode.HOLD else "cancelled"
        under_way = switch_state.under_way(slug)
        self.stdout.write(f"This stops {slug}: {under_way}. Its jobs are {became}.")
        confirm(f"Stop {slug}?", **options)
        try:
            stopped = switch.stop(slug, reason=reason, mode=mode, user_id=person.pk)
        except ValueError as error:
            raise CommandError(f"{error}.") from None
        if not stopped:  # another person stopped it first
            self._already(switch_state.of(slug), mode)
            return
        self.stdout.write(f"{slug} is stopped.")

    def _already(self, state: SwitchState, mode: KillMode) -> None:
        text = f"Already {_in_words(state)}\nNothing was changed."
        if state.mode is not mode:
            raise CommandError(f"{text} To change what happens to its jobs, use change_reason.")
        self.stdout.write(text)

    def _change_reason(
        self, slug: str, *, user: str, reason: str, mode: KillMode | None, **options: Any
    ) -> None:
        person = person_with(STOP, user)
        state = switch_state.of(slug)
        if not state.killed:
            raise CommandError(f"{slug}: {NOT_STOPPED}")
        mode = state.mode if mode is None else mode
        became = "held" if mode is KillMode.HOLD else "cancelled"
        self.stdout.write(f"{slug}: {_in_words(state)}")
        confirm(f"Change the reason? Its jobs are {became}.", **options)
        try:
            changed = switch.change_reason(slug, reason=reason, mode=mode, user_id=person.pk)
        except ValueError as error:
            raise CommandError(f"{error}.") from None
        if not changed:
            raise CommandError(f"{slug}: {NOT_STOPPED}")
        self.stdout.write(f"{slug} is stopped for the new reason; its jobs are {became}.")

    def _release(self, slug: str, *, user: str, reason: str, percent: int, **options: Any) -> None:
        person = person_with(RELEASE, user)
        state = switch_state.of(slug)
        if problem := state.why_no_release(percent):
            raise CommandError(f"{slug}: {problem}")
        under_way = switch_state.under_way(slug)
        self.stdout.write(f"{slug}: {under_way}; {_in_words(state)}")
        users = "all users" if percent == ALL else f"{percent} % of users"
        confirm(f"Release {slug} for {users}?", **options)
        try:
            switch.release(slug, reason=reason, percent=percent, user_id=person.pk)
        except ValueError as error:
            raise CommandError(f"{error}.") from None
        self.stdout.write(f"{slug} is released for {users}.")


def _known(feature: str | None) -> str:
    if feature is None or not switch.exists(feature):
        choices = ", ".join(switch.names())
        raise CommandError(f"There is no feature {feature!r}. Choose one of: {choices}")
    return feature


def _in_words(state: SwitchState) -> str:
    if not state.killed and not state.partial:
        return "running"
    pull = state.pulled
    who = "unknown" if pull is None else pull.user or pull.check_name
    when = "" if pull is None else f", {pull.at:%Y-%m-%d %H:%M:%S} UTC"
    if state.partial:
        return f"released for {state.percent} % of users (last stopped by {who}{when})"
    jobs = "held" if state.mode is KillMode.HOLD else "cancelled"
    return f"stopped by {who}{when}, jobs {jobs}: {state.reason or 'no reason was given'}"
