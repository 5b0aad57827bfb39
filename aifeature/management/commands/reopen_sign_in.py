"""`manage.py reopen_sign_in NAME`: let a user with too many tries sign in again immediately."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from aifeature.services.sign_in import limits


class Command(BaseCommand):
    """Runs no system checks, so it works even if the code of a feature does not load."""

    requires_system_checks = ()
    help = (
        "Reset the failed sign-ins of a name, and of the addresses from which it was tried."
        " See deploy/runbooks/kill-switch.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="As typed to sign in.")

    def handle(self, *, name: str, **_: Any) -> None:
        if limits.forget(name):
            self.stdout.write(f"{name} may sign in again.")
        else:
            self.stdout.write(f"Nothing was counted for {name}: check the spelling.")
