"""`manage.py list_tokens [USERNAME]`: list bearer tokens, never their text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandParser

from aifeature.models import ApiToken

COLUMNS = ("id", "hint", "user", "created", "last used", "expires", "revoked", "may", "name")


class Command(BaseCommand):
    """Prints one line per token, newest first, with times in UTC."""

    help = "List API tokens without their secret text."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", help="Only this user's tokens.")

    def handle(self, *, username: str | None, **_: Any) -> None:
        rows = ApiToken.objects.select_related("user")
        if username is not None:
            rows = rows.filter(**{f"user__{get_user_model().USERNAME_FIELD}": username})
        table = [COLUMNS, *(_cells(row) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


def _cells(row: ApiToken) -> tuple[str, ...]:
    return (
        str(row.pk),
        row.hint,
        row.user.get_username(),
        _time(row.created_at),
        _time(row.last_used_at),
        _time(row.expires_at),
        _time(row.revoked_at),
        row.scope,
        row.name,
    )


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"
