"""Make the local stack's users, with the passwords that the stack has generated."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature.models import ApiToken
from aifeature.models.token import digest
from aifeature.services import controls

STAFF = "staff"
DOMAIN = "@demo.invalid"
"""Of the addresses that only demo users have: nobody else's account is ever touched."""


class Command(BaseCommand):
    """`manage.py demo_users`: only the local stack calls it; running it again changes nothing."""

    help = "Make the demo users of the local stack and open its features."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--migrate", action="store_true", help="first migrate (saves a second interpreter)"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make or update the users.

        Raises:
            CommandError: this is not a local stack, it gave no passwords, or the database has
                users of these names already.
        """
        if not os.environ.get("LOCAL_STACK"):
            raise CommandError("demo users are for the local stack: run `manage.py stack`")
        passwords = _passwords(os.environ.get("DEMO_PASSWORDS", ""))
        if options["migrate"]:
            call_command("migrate", interactive=False, verbosity=options["verbosity"])
        for name, password in passwords.items():
            _ensure_user(name, password)
        name, _, text = os.environ.get("DEMO_TOKEN", "").partition(":")
        if text:
            _ensure_token(name, text)
        if not get_user_model().objects.exclude(email__endswith=DOMAIN).exists():
            # With real users in the database it is theirs, and its features stay as they are.
            controls.open_for_local_stack()


def _passwords(value: str) -> dict[str, str]:
    """`name:password` pairs with commas between them."""
    pairs = [pair.partition(":") for pair in value.split(",") if pair]
    if not pairs or not all(name and word for name, _, word in pairs):
        raise CommandError("DEMO_PASSWORDS must hold name:password pairs with commas between them")
    return {name: word for name, _, word in pairs}


def _ensure_token(name: str, text: str) -> None:
    """Make the token valid, also one that was revoked: this stack prints it at each start."""
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
            f"the database has a user {name!r} who is no demo user: name another database in "
            "DATABASE_URL, or unset it for the embedded one"
        )
    is_staff = name == STAFF
    if user.check_password(password) and user.is_staff == is_staff == user.is_superuser:
        return  # setting it again would end the person's sessions
    user.is_staff = user.is_superuser = is_staff
    user.set_password(password)
    user.save()
