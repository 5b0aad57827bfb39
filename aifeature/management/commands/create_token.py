"""`manage.py create_token USERNAME --name "what for"`: make a bearer token of the API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature.models import ApiToken

MAX_NAME = 80


class Command(BaseCommand):
    """Prints the token, and nothing else, on standard output, so that a script can take it."""

    help = "Make an API token. It is shown this once; only its digest is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        """Who it is for, and what will use it."""
        parser.add_argument("username")
        parser.add_argument("--name", required=True, help="What will use the token.")

    def handle(self, *, username: str, name: str, **_: Any) -> None:
        """Make it.

        Raises:
            CommandError: there is no such user who may sign in, or the name does not fit.
        """
        users = get_user_model()
        user = users.objects.filter(**{users.USERNAME_FIELD: username}, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user named {username!r}.")
        name = name.strip()
        if not 1 <= len(name) <= MAX_NAME:
            raise CommandError(f"--name takes 1 to {MAX_NAME} characters.")
        row, text = ApiToken.issue(user_id=user.pk, name=name)
        self.stdout.write(text)
        self.stderr.write(
            f"Token {row.pk} of {username}. Keep it now: it is never shown again."
            f" Revoke it with: manage.py revoke_token {row.pk}"
        )
