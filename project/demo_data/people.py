"""The synthetic users. They cannot sign in."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model

from project.demo_data.rows import Person
from project.demo_data.story import Story
from project.local_features import DOMAIN
from project.stack.secrets import STAFF

_NAMES: Final = (
    *("ana", "bilal", "carla", "deniz", "elif", "farid", "greta", "hana"),
    *("ines", "jonas", "kofi", "lena", "milan", "nora", "omar", "paula"),
    *("quinn", "rosa", "samir", "tessa", "uri", "vera", "wim", "xenia"),
    *("yara", "zoltan", "aiko", "bruno", "chloe", "dario", "esra", "finn"),
)
COUNT: Final = 64

NO_PASSWORD: Final = "!"  # noqa: S105 (it is none)
"""Django's mark of a password that nothing matches."""


def create(story: Story, *, seed: int = 18) -> list[Person]:
    """Create the users, and return them."""
    users = get_user_model()
    rng = random.Random(f"{seed} people")  # noqa: S311 (synthetic data)
    rows = [
        users(
            **{users.USERNAME_FIELD: name, "email": f"{name}{DOMAIN}", "password": NO_PASSWORD},
            date_joined=story.now - timedelta(days=30 + 80 * rng.random()),
        )
        for name in names()
    ]
    weights = [1 / (1 + 0.12 * place) for place in range(len(rows))]
    return [
        Person(user.pk, user.get_username(), weight)
        for user, weight in zip(users.objects.bulk_create(rows), weights, strict=True)
    ]


def names() -> list[str]:
    """Return the names of the users."""
    return [f"{_NAMES[n % len(_NAMES)]}-{10 + n // len(_NAMES) * 7 + n % 7}" for n in range(COUNT)]


def operator() -> Any:
    """Return the member of staff who made the changes: that of the local stack, if there is one."""
    users = get_user_model()
    found, _ = users.objects.get_or_create(
        **{users.USERNAME_FIELD: STAFF},
        defaults={"email": f"{STAFF}{DOMAIN}", "password": NO_PASSWORD},
    )
    return found
