"""`manage.py reopen_sign_in NAME`: let somebody who tried too often sign in again at once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from aifeature.services.sign_in import limits


class Command(BaseCommand):
    """Works while the code of a feature does not load: no system check runs before it."""

    requires_system_checks = ()
    help = (
        "Forget the failed sign-ins of a name, and of the addresses it was tried from."
        " See deploy/runbooks/kill-switch.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose sign-in."""
        parser.add_argument("name", metavar="NAME", help="As it is typed to sign in.")

    def handle(self, *, name: str, **_: Any) -> None:
        """Forget them."""
        if limits.forget(name):
            self.stdout.write(f"{name} may sign in again.")
        else:
            self.stdout.write(f"Nothing was counted for {name}: look for another spelling.")
