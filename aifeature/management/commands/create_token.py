"""`manage.py create_token USERNAME --name "what for"`: make a bearer token of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature import registry
from aifeature.models import ApiToken

MAX_NAME = 80
MAX_DAYS = 3650


class Command(BaseCommand):
    """Prints the token, and nothing else, on standard output, so that a script can take it."""

    help = "Make an API token. It is shown this once; only its digest is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        """Who it is for, and what will use it."""
        parser.add_argument("username")
        parser.add_argument("--name", required=True, help="What will use the token.")
        parser.add_argument("--days", type=int, help="Days until it expires. Left out: never.")
        parser.add_argument("--read-only", action="store_true", help="It submits nothing.")
        parser.add_argument(
            "--feature",
            action="append",
            choices=sorted(registry.all_features()),
            help="The only feature it is for; may be given more than once. Left out: all.",
        )

    def handle(
        self,
        *,
        username: str,
        name: str,
        days: int | None = None,
        read_only: bool = False,
        feature: list[str] | None = None,
        **_: Any,
    ) -> None:
        """Make it.

        Raises:
            CommandError: there is no such user who may sign in, or the name or the days do not fit.
        """
        users = get_user_model()
        user = users.objects.filter(**{users.USERNAME_FIELD: username}, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user named {username!r}.")
        name = name.strip()
        if not 1 <= len(name) <= MAX_NAME:
            raise CommandError(f"--name takes 1 to {MAX_NAME} characters.")
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise CommandError(f"--days takes 1 to {MAX_DAYS}.")
        row, text = ApiToken.issue(
            user_id=user.pk,
            name=name,
            lasts=None if days is None else timedelta(days=days),
            may_submit=not read_only,
            features=feature,
        )
        self.stdout.write(text)
        self.stderr.write(
            f"Token {row.pk} of {username}. Keep it now: it is never shown again."
            f" Revoke it with: manage.py revoke_token {row.pk}"
        )
