"""`manage.py canary show|start|share|hold|continue|stop|promote`, or `canary --simulate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature import registry
from aifeature.management import operators
from aifeature.management.operators import confirm, person_with
from aifeature.models import Canary
from aifeature.policies import canary_simulation
from aifeature.services.rollout import canaries
from aifeature.services.rollout.canaries import CanaryRefusedError

ACTIVATE: Final = "aifeature.activate_prompt"
RUNS: Final = 400

ACTIONS: Final = {
    "start": "Give a candidate with evidence to a share of users.",
    "share": "Change the share of the open canary.",
    "hold": "Keep it at its share: it is not promoted.",
    "continue": "Continue a held canary.",
    "stop": "End it: all users get the live version.",
    "promote": "Make the candidate live, if its figures permit it.",
}


class Command(BaseCommand):
    """Shows what it will do and requires confirmation. Works without admin and Redis."""

    requires_system_checks = ()
    help = (
        "Try a candidate version with a share of users, or print how often the tests of a canary"
        " are wrong (--simulate, which changes nothing). See deploy/runbooks/canary.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--simulate", action="store_true", help="Print the figures of simulations."
        )
        parser.add_argument("--seed", type=int, default=1, help="Seed of the simulations.")
        parser.add_argument("--runs", type=int, default=RUNS, help=f"Runs of each, {RUNS}.")
        actions = parser.add_subparsers(dest="action", metavar="|".join(("show", *ACTIONS)))
        show = actions.add_parser("show", help="Show the canaries of a feature, or the open ones.")
        show.add_argument("feature", nargs="?", help="Only this one.")
        for name, text in ACTIONS.items():
            action = actions.add_parser(name, help=text)
            action.add_argument("feature")
            if name == "start":
                action.add_argument("version", help="Such as v3.")
                action.add_argument(
                    "--waits-for-a-person",
                    action="store_true",
                    help="It does not go live by itself.",
                )
            if name in {"start", "share"}:
                action.add_argument("--percent", type=int, required=True, help="1 to 50.")
            operators.add_arguments(action)

    def handle(self, *, action: str | None, simulate: bool, **options: Any) -> None:
        """Run the action. It changes nothing if it raises CommandError."""
        if simulate:
            if options["runs"] < 1:
                raise CommandError("--runs takes at least 1.")
            for line in canary_simulation.report(options["runs"], options["seed"]):
                self.stdout.write(line)
                self.stdout.flush()
            return
        if action is None:
            raise CommandError(f"Name an action: show, {', '.join(ACTIONS)}; or give --simulate.")
        if action == "show":
            self._show(options["feature"])
            return
        options["user_id"] = person_with(ACTIVATE, options["user"]).pk
        try:
            self.stdout.write(_RUN[action](options))
        except CanaryRefusedError as refusal:
            raise CommandError(f"{refusal}\nNothing was changed.") from None

    def _show(self, slug: str | None) -> None:
        if slug is not None and registry.find(slug) is None:
            choices = ", ".join(registry.all_features())
            raise CommandError(f"There is no feature {slug!r}. Choose one of: {choices}")
        for each in [slug] if slug else registry.all_features():
            rows = canaries.of_feature(each)
            if not rows and slug:
                self.stdout.write(f"{each}: no canary was ever started.")
            for row in rows if slug else rows[:1]:
                self.stdout.write(_in_words(row))
                for line in _figures(row.figures or {}):
                    self.stdout.write(f"  {line}")


def _start(options: Mapping[str, Any]) -> str:
    slug, version, percent = options["feature"], options["version"], options["percent"]
    confirm(f"Give {slug} {version} to {percent} % of users?", **options)
    canaries.start(
        slug, version, percent=percent, promotes=not options["waits_for_a_person"], **_by(options)
    )
    return f"{slug} {version} runs as a canary at {percent} %."


def _share(options: Mapping[str, Any]) -> str:
    row, percent = _open(options), options["percent"]
    confirm(f"Change the share from {canaries.share_of(row)} to {percent} %?", **options)
    canaries.share(row.pk, percent, **_by(options))
    return f"{percent} % of users get {row.version}."


def _change(
    do: Callable[..., None], question: str, result: str
) -> Callable[[Mapping[str, Any]], str]:
    def run(options: Mapping[str, Any]) -> str:
        row = _open(options)
        confirm(f"{question} the canary of {row.feature} {row.version}?", **options)
        do(row.pk, **_by(options))
        return f"The canary of {row.feature} {row.version} {result}."

    return run


_RUN: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "start": _start,
    "share": _share,
    "hold": _change(canaries.hold, "Hold", "is held"),
    "continue": _change(canaries.go_on, "Continue", "goes on"),
    "stop": _change(canaries.stop, "Stop", "is stopped"),
    "promote": _change(canaries.promote, "Promote", "is live"),
}


def _open(options: Mapping[str, Any]) -> Canary:
    row = canaries.open_of(options["feature"])
    if row is None:
        raise CanaryRefusedError(f"No canary of {options['feature']} is open.")
    return row


def _by(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"reason": options["reason"], "user_id": options["user_id"]}


def _in_words(row: Canary) -> str:
    why = row.end_reason or row.hold_reason
    return (
        f"{row.feature}: {row.version} against {row.live_version} at {canaries.share_of(row)} %,"
        f" {row.state.replace('_', ' ')}{f' ({why})' if why else ''}"
    )


def _figures(figures: Mapping[str, Any]) -> list[str]:
    if not figures:
        return ["not checked yet"]
    low, high = figures["harm"]
    span = f"{100 * low:+.1f} to {100 * high:+.1f} points"
    lines = [f"{figures['users']} users compared, harm in errors {span}"]
    for name, each in figures["metrics"].items():
        (bad, users), (live_bad, live_users) = each["candidate"], each["live"]
        lines.append(
            f"{name.replace('_', ' ')}: {bad} of {users} users, live {live_bad} of {live_users},"
            f" e-value {each['e']:g} of {each['threshold']}"
        )
    return lines
