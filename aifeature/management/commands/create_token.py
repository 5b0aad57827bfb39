"""`manage.py create_token USERNAME --name "what for"`: create an API bearer token."""

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
    """Prints only the token on standard output, so that a script can read it."""

    help = "Create an API token. It is shown only once; the database stores only its digest."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", required=True, help="The program that will use it.")
        parser.add_argument("--days", type=int, help="Days until it expires. Default: never.")
        parser.add_argument("--read-only", action="store_true", help="It cannot submit jobs.")
        parser.add_argument(
            "--feature",
            action="append",
            choices=sorted(registry.offered()),
            help="A feature that it may use; may be repeated. Default: all.",
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
            f"Token {row.pk} of {username}. Copy it now: it is never shown again."
            f" Revoke it with: manage.py revoke_token {row.pk}"
        )
