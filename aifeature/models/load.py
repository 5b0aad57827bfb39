"""How long a job would wait for a thread. The functions stand in `sql/load.sql` and `watch.sql`."""

from __future__ import annotations

from dataclasses import dataclass

from aifeature.models.functions import rows


@dataclass(frozen=True, slots=True)
class Load:
    """What waits and runs, and how fast it goes."""

    jobs: int
    slots: int
    """Threads of the live workers."""
    call_s: float | None
    """Mean of the latest calls of all features; None while there were none lately."""
    own_call_s: float | None
    """The same of this feature."""
    booked_s: float
    """For how long jobs of the feature have booked what the provider lets through."""
    away_s: float | None = None
    """For how long no worker has been there; None: none has ever reported to this database."""


def load(slug: str) -> Load:
    """The load as a feature's next job finds it."""
    return Load(*rows("aif_load_and_away", slug)[0])


@dataclass(frozen=True, slots=True)
class Ahead:
    """What goes before the next job of a user and feature."""

    jobs: int
    own: int
    """Of them those of this user and feature."""


def ahead_of(slug: str, user_id: int) -> Ahead:
    """What goes before the next job of this user and feature."""
    return Ahead(*rows("aif_ahead_of", slug, user_id)[0])
