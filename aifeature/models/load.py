"""How long a job would wait for a thread. The functions stand in `sql/load.sql`."""

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
    """Mean of the latest calls; None while there were none lately."""
    booked_s: float
    """For how long jobs of the feature have booked what the provider lets through."""


def load(slug: str) -> Load:
    """The load as a feature's next job finds it."""
    return Load(*rows("aif_load", slug)[0])


def ahead_of(slug: str, user_id: int) -> int:
    """How many jobs go before the next one of this user and feature."""
    ahead: int = rows("aif_ahead_of", slug, user_id)[0][0]
    return ahead
