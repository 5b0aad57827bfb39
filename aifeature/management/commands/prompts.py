"""`manage.py prompts status|activate|rollback|override|approve|end`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature import registry, shares
from aifeature.management import operators
from aifeature.management.operators import confirm, person_with
from aifeature.models import Activation, Evidence
from aifeature.services.promotion import RefusedError, activations, standing
from aifeature.services.promotion.standing import Standing, Version
from aifeature.spec import Feature

ACTIVATE: Final = "aifeature.activate_prompt"
OVERRIDE: Final = "aifeature.override_prompt"
ACTIONS: Final = {
    "activate": "Make a version live that has evidence.",
    "rollback": "Make the newest earlier version with evidence live, however old its evidence is.",
    "override": "Request that a version without evidence becomes live for some hours.",
    "approve": "Approve a request, as a second person.",
    "end": "End the override, or withdraw its request.",
}


class Command(BaseCommand):
    """Shows what it will do and requires confirmation. Works without admin and Redis."""

    requires_system_checks = ()
    help = (
        "Show what is live and each version's evidence, activate a version, roll back, or override"
        " the gate. See deploy/runbooks/prompts.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="|".join(("status", *ACTIONS))
        )
        status = actions.add_parser("status", help="Show what is live, and what could be.")
        status.add_argument("feature", nargs="?", help="Only this one.")
        for name, text in ACTIONS.items():
            action = actions.add_parser(name, help=text)
            action.add_argument("feature")
            if name in {"activate", "override"}:
                action.add_argument("version", help="Such as v3.")
            if name == "override":
                action.add_argument(
                    "--hours", type=int, default=24, help="1 to 168 (a week), from the approval."
                )
            operators.add_arguments(action)

    def handle(self, *, action: str, feature: str | None, **options: Any) -> None:
        """Run the action. It changes nothing if it raises CommandError."""
        found = _features(feature)
        if action == "status":
            for each in found:
                self._status(each)
            return
        needed = ACTIVATE if action in {"activate", "rollback"} else OVERRIDE
        options["user_id"] = person_with(needed, options["user"]).pk
        try:
            self.stdout.write(_RUN[action](standing.of(found[0]), options))
        except RefusedError as refusal:
            raise CommandError(f"{refusal}\nNothing was changed.") from None

    def _status(self, feature: Feature) -> None:
        now = standing.of(feature)
        self.stdout.write(f"{feature.slug}: {now.served}")
        for text in standing.notices(feature):
            self.stdout.write(f"  {text}")
        if row := now.request:
            who = f"{activations.by(row)} requests {row.version} for {activations.hours_of(row)}"
            self.stdout.write(f"  {who}: {row.reason} Approve it: {_approval(row.feature)}")
        for version in now.versions:
            mark = " (live)" if version.is_live else ""
            self.stdout.write(f"  {version.version}{mark}: {_proof(version.evidence)}")
            if not feature.internal and not version.is_live:
                self.stdout.write(f"    {_next_step(feature.slug, version)}")


def _activate(now: Standing, options: dict[str, Any]) -> str:
    slug, version = now.feature.slug, options["version"]
    confirm(f"Activate {slug} {version}? {_replaces(now)}", **options)
    activations.activate(slug, version, seen=_id(now.live), **_by(options))
    return f"{slug} {version} is live."


def _rollback(now: Standing, options: dict[str, Any]) -> str:
    slug = now.feature.slug
    if now.rollback:
        confirm(f"Roll {slug} back to {now.rollback}? {_replaces(now)}", **options)
    row = activations.roll_back(slug, seen=_id(now.live), **_by(options))
    return f"{slug} {row.version} is live again."


def _override(now: Standing, options: dict[str, Any]) -> str:
    slug, version, hours = now.feature.slug, options["version"], options["hours"]
    confirm(f"Request {slug} {version} without evidence for {hours} h?", **options)
    activations.request_override(slug, version, hours=hours, **_by(options))
    return f"Requested. Another person approves it within 24 hours: {_approval(slug)}"


def _approve(now: Standing, options: dict[str, Any]) -> str:
    row, slug = now.request, now.feature.slug
    if row is None:
        raise RefusedError(f"No request of an override of {slug} waits.")
    confirm(
        f"{activations.by(row)} requested {slug} {row.version} for {activations.hours_of(row)}:"
        f" {row.reason} {_replaces(now)} Make it live without evidence?",
        **options,
    )
    return activations.in_words(standing.approve(now.feature, row.pk, **_by(options)))


def _end(now: Standing, options: dict[str, Any]) -> str:
    slug, found = now.feature.slug, now.override or now.request
    if now.override:
        confirm(f"End the override of {slug}? Then users get {now.after_override}.", **options)
    elif now.request:
        confirm(f"Withdraw the request for {slug} {now.request.version}?", **options)
    activations.end_override(slug, seen=_id(found), **_by(options))
    return f"The override of {slug} is over."


_RUN: Final[dict[str, Callable[[Standing, dict[str, Any]], str]]] = {
    "activate": _activate,
    "rollback": _rollback,
    "override": _override,
    "approve": _approve,
    "end": _end,
}


def _features(slug: str | None) -> list[Feature]:
    if slug is None:
        return list(registry.all_features().values())
    if feature := registry.find(slug):
        return [feature]
    choices = ", ".join(registry.all_features())
    raise CommandError(f"There is no feature {slug!r}. Choose one of: {choices}")


def _by(options: dict[str, Any]) -> dict[str, Any]:
    return {"reason": options["reason"], "user_id": options["user_id"]}


def _id(row: Activation | None) -> int:
    return row.pk if row else 0


def _replaces(now: Standing) -> str:
    return f"{now.live.version} is live now." if now.live else "No version is live now."


def _approval(slug: str) -> str:
    return f"manage.py prompts approve {slug}"


def _next_step(slug: str, version: Version) -> str:
    if not version.problem:
        return f"It may be activated: manage.py prompts activate {slug} {version.version}"
    command = f" Evaluate it: {version.command}" if version.command else ""
    return f"It cannot be activated. {version.problem}{command}"


def _proof(proof: Evidence | None) -> str:
    if proof is None:
        return "no evidence"
    arm = proof.verdict.get("candidate")
    rate = f", {shares.percent(arm['rate'])} ({shares.span(arm['interval'])})" if arm else ""
    until = f", counts until {proof.fresh_until:%Y-%m-%d}" if proof.fresh_until else ""
    return f"{proof.verdict.get('decision')}{rate}, {proof.measured_at:%Y-%m-%d}{until}"
