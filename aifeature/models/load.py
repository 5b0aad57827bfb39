"""Figures on how long a job would wait. The SQL functions are in `load.sql` and `watch.sql`."""

from __future__ import annotations

from dataclasses import dataclass

from aifeature.models.functions import rows


@dataclass(frozen=True, slots=True)
class Load:
    jobs: int
    slots: int
    """Threads of the live workers."""
    call_s: float | None
    """Mean of the latest calls of all features; None without recent calls."""
    own_call_s: float | None
    """The same for this feature."""
    booked_s: float
    """Time for which the feature's jobs have booked the provider's rate limits."""
    away_s: float | None = None
    """Time without a live worker; None if no worker has ever reported to this database."""


def load(slug: str) -> Load:
    """Return the load that the next job of this feature meets."""
    return Load(*rows("aif_load_and_away", slug)[0])


@dataclass(frozen=True, slots=True)
class Ahead:
    """Number of jobs ahead of the next job of a user and feature."""

    jobs: int
    own: int
    """Of these, the jobs of this user and feature."""


def ahead_of(slug: str, user_id: int) -> Ahead:
    return Ahead(*rows("aif_ahead_of", slug, user_id)[0])
