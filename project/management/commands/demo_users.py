"""Create the local stack's users with the passwords that the stack has generated."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature.models import ApiToken
from aifeature.models.token import digest
from project import loading, local_features
from project.local_features import DOMAIN
from project.management.commands import load_demo_data
from project.stack.console import NOTE
from project.stack.secrets import STAFF


class Command(BaseCommand):
    """`manage.py demo_users`. Only the local stack runs it. A second run changes nothing.

    It changes no account but those of demo users.
    """

    help = "Create the demo users of the local stack and open its features."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--migrate", action="store_true", help="migrate first (saves a second process)"
        )
        parser.add_argument(
            "--synthetic", action="store_true", help="load synthetic days into an unused database"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create or update the users.

        Raises:
            CommandError: this is not a local stack, there are no passwords, or another user has
                one of the names.
        """
        if not os.environ.get("LOCAL_STACK"):
            raise CommandError("demo users are for the local stack: run `manage.py stack`")
        passwords = _passwords(os.environ.get("DEMO_PASSWORDS", ""))
        if options["migrate"]:
            with loading.uncollected():  # migrations render all models again and again
                call_command("migrate", interactive=False, verbosity=options["verbosity"])
        for name, password in passwords.items():
            _ensure_user(name, password)
        name, _, text = os.environ.get("DEMO_TOKEN", "").partition(":")
        if text:
            _ensure_token(name, text)
        # Before features are opened: what was live in the synthetic days comes first in history.
        notes = [load_demo_data.loaded(self.stdout.write)] if options["synthetic"] else []
        for line in (*notes, *local_features.update()):
            self.stdout.write(f"{NOTE}{line}")


def _passwords(value: str) -> dict[str, str]:
    pairs = [pair.partition(":") for pair in value.split(",") if pair]
    if not pairs or not all(name and word for name, _, word in pairs):
        raise CommandError("DEMO_PASSWORDS must hold name:password pairs with commas between them")
    return {name: word for name, _, word in pairs}


def _ensure_token(name: str, text: str) -> None:
    """Make the token valid, even if it was revoked: the stack prints it at each start."""
    tokens = ApiToken.objects.filter(digest=digest(text))
    if tokens.valid().filter(user__username=name).exists():
        return
    tokens.delete()
    user = get_user_model().objects.get(username=name)
    ApiToken.issue(user_id=user.pk, name="local stack", text=text)


def _ensure_user(name: str, password: str) -> None:
    user, _ = get_user_model().objects.get_or_create(
        username=name, defaults={"email": f"{name}{DOMAIN}"}
    )
    if not user.email.endswith(DOMAIN):
        raise CommandError(
            f"the database has a user {name!r} who is not a demo user: set another database in "
            "DATABASE_URL, or unset it for the embedded one"
        )
    is_staff = name == STAFF
    if user.check_password(password) and user.is_staff == is_staff == user.is_superuser:
        return  # setting the password again would end the user's sessions
    user.is_staff = user.is_superuser = is_staff
    user.set_password(password)
    user.save()
