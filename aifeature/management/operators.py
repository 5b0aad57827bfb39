"""The person who decides with a command, and their confirmation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST_NAMES: Final = 5


def add_arguments(action: CommandParser) -> None:
    """Add the arguments of an action that changes something: who, why, and `--yes`."""
    action.add_argument("--reason", required=True, help="Why. Kept in the audit log.")
    action.add_argument("--user", required=True, metavar="NAME", help="The person who decides.")
    action.add_argument("--yes", action="store_true", help="Skip the confirmation.")


def confirm(question: str, *, yes: bool, **_: Any) -> None:
    """Return if the person types yes, or gave `--yes`. Raises CommandError otherwise."""
    if yes:
        return
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        raise CommandError(
            "No confirmation can be typed here: nothing was changed. Give --yes to skip it."
        ) from None
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("Not confirmed: nothing was changed.")


def person_with(permission: str, name: str) -> User:
    """Return the user of this name. Raises CommandError if they lack the permission."""
    users = get_user_model()
    user = users.objects.filter(**{users.USERNAME_FIELD: name}).first()
    if user is None:
        raise CommandError(
            f"There is no user named {name!r}. --user is the name with which the person who decides"
            " signs in to admin."
        )
    if not user.is_active:
        raise CommandError(f"The account of {name} is closed. Name a person with an open account.")
    if not user.has_perm(permission):
        raise CommandError(
            f"{name} lacks the permission {permission}. {_who_may(permission)} A superuser can give"
            f" it to {name} (admin, Users)."
        )
    return user


def _who_may(permission: str) -> str:
    """Return a sentence with accounts that have the permission, to save a search in admin."""
    users = get_user_model().objects.with_perm(
        permission, backend="django.contrib.auth.backends.ModelBackend"
    )
    names = [user.get_username() for user in users.order_by("pk")[:MOST_NAMES]]
    if not names:
        return "No account has it: manage.py createsuperuser makes one that may."
    return f"These have it: {', '.join(names)}."
