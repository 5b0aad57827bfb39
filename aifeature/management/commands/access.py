"""`manage.py access why|rename`."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature import registry
from aifeature.management import operators
from aifeature.management.operators import confirm, person_with
from aifeature.services import access
from aifeature.services.access import RenamingError

CHANGE: Final = "aifeature.change_featurecontrol"


class Command(BaseCommand):
    """`why` only reads. `rename` shows what it will do and requires confirmation."""

    requires_system_checks = ()
    help = (
        "Explain whether a user sees a feature, or carry the users of a feature to its new name."
        " See deploy/runbooks/access.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="why|rename")
        why = actions.add_parser("why", help="Would this user see the feature, and why?")
        why.add_argument("feature")
        why.add_argument("user", help="A name, an ID, or the reference of one of their requests.")
        rename = actions.add_parser(
            "rename", help="Give a new feature the users of an old one, so that nobody moves."
        )
        rename.add_argument("old", help="The slug before. It may be gone from the code.")
        rename.add_argument("new", help="The slug in the code. It must not be open to users yet.")
        operators.add_arguments(rename)

    def handle(self, *, action: str, **options: Any) -> None:
        """Run the action. It changes nothing if it raises CommandError."""
        if action == "why":
            self._why(options["feature"], options["user"])
        else:
            self._rename(options["old"], options["new"], options)

    def _why(self, slug: str, who: str) -> None:
        feature = registry.find(slug)
        if feature is None:
            choices = ", ".join(registry.slugs())
            raise CommandError(f"There is no feature {slug!r}. Choose one of: {choices}")
        user = access.people.find(who)
        if user is None:
            raise CommandError(f"There is no user with the name, ID or reference {who!r}.")
        found = access.explain(feature, user, with_reason=True)
        answer = "sees" if found.visible else "does not see"
        self.stdout.write(f"{user.get_username()} (#{user.pk}) {answer} {slug}. {found.sentence}")
        self.stdout.write(f"  rule: {found.rule}")
        if found.bucket is not None:
            self.stdout.write(f"  place: {found.bucket}, share: {found.threshold}")
        self.stdout.write(
            f"  since: {found.since:%Y-%m-%d %H:%M} UTC" if found.since else "  since: not recorded"
        )

    def _rename(self, old: str, new: str, options: dict[str, Any]) -> None:
        user = person_with(CHANGE, options["user"])
        confirm(f"Copy seed, invitations, members and blocks of {old} to {new}?", **options)
        try:
            carried = access.rename(old, new, reason=options["reason"], user_id=user.pk)
        except RenamingError as error:
            raise CommandError(f"{error}\nNothing was changed.") from None
        self.stdout.write(
            f"{new} has the users of {old}: {carried}. Set its stage and share as those of {old}."
        )
