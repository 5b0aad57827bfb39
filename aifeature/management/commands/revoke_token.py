"""`manage.py revoke_token HINT|ID`: revoke a bearer token."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models.functions import Now

from aifeature.models import ApiToken


class Command(BaseCommand):
    """Accepts the id, or the first characters as `list_tokens` shows them."""

    help = "Revoke an API token. The next request that uses it gets a 401."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("token", metavar="HINT|ID", help="As list_tokens shows it.")

    def handle(self, *, token: str, **_: Any) -> None:
        """Revoke the token. A token that was revoked before does not change."""
        row = self._find(token)
        changed = ApiToken.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=Now())
        verb = "is revoked" if changed else "was revoked before"
        self.stdout.write(f"Token {row.pk}, {row}, of {row.user.get_username()} {verb}.")

    def _find(self, token: str) -> ApiToken:
        by = {"pk": int(token)} if token.isascii() and token.isdigit() else {"hint": token}
        rows = list(ApiToken.objects.select_related("user").filter(**by))
        if not rows:
            raise CommandError("There is no such token. See: manage.py list_tokens")
        if len(rows) > 1:
            ids = ", ".join(str(row.pk) for row in rows)
            raise CommandError(f"{token} matches more than one token. Use an id: {ids}")
        return rows[0]
