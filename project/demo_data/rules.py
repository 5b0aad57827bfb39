"""Whether synthetic data may be loaded into this database, and how old those in it are."""

from __future__ import annotations

from typing import Final

from django.conf import settings

from aifeature.models import DemoData, Job
from aifeature.models.functions import database_now
from project import local_features

CLEAN: Final = "To start with new data, run make clean, then make demo."


class RefusedError(Exception):
    """No synthetic data are loaded. The text is a sentence for the terminal."""

    text_is_ours = True


def check() -> None:
    """Raise RefusedError if this database may not get synthetic data.

    They are for the sandbox provider and an unused database: figures of real users and made-up
    ones must never be one sum.
    """
    if settings.AIFEATURE["PROVIDER"] != "sandbox":
        raise RefusedError(
            "A real provider is configured, so no synthetic data are loaded: only the sandbox's"
            " database may have some."
        )
    if not local_features.has_demo_users_only():
        raise RefusedError(
            "The database has users of its own, so no synthetic data are loaded. Use an empty one."
        )
    if known := present():
        raise RefusedError(known)
    if Job.objects.of_users().exists():
        raise RefusedError(
            f"There are requests of users already, so no synthetic data are loaded. {CLEAN}"
        )


def present() -> str:
    """Return a sentence about the synthetic data in the database; empty if there are none."""
    row = DemoData.objects.first()
    if row is None:
        return ""
    if row.ended_loading_at is None:
        return f"Loading the synthetic data broke off at {row.loaded_at:%H:%M} UTC. {CLEAN}"
    days = (database_now() - row.loaded_at).days
    age = {0: "of today", 1: "of yesterday"}.get(days, f"{days} days old")
    return f"The synthetic data in the database are {age}. {CLEAN}"
