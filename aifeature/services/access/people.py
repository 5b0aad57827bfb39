"""Search for a user by name, ID, or the reference of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib.auth import get_user_model

from aifeature.models import Job
from aifeature.services.texts import references

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_LARGEST_ID: Final = 2**63 - 1


def find(text: str) -> User | None:
    """Return the user with this name, else with this id, else whose job has this reference.

    A name of digits is a name first. A reference names no user if jobs of several users match.
    """
    users, text = get_user_model().objects, text.strip()
    named: User | None = users.filter(**{get_user_model().USERNAME_FIELD: text}).first()
    if named is not None:
        return named
    if (number := text.removeprefix("#")).isascii() and number.isdigit():
        found: User | None = (
            users.filter(pk=int(number)).first() if int(number) <= _LARGEST_ID else None
        )
        if found is not None:
            return found
    ids = references.jobs(text)
    owners = set() if ids is None else set(_owners(ids))
    return users.filter(pk=owners.pop()).first() if len(owners) == 1 else None


def _owners(ids: tuple[object, object]) -> list[int]:
    rows = Job.objects.filter(id__range=ids, user__isnull=False)
    return list(rows.values_list("user_id", flat=True).distinct()[:2])
