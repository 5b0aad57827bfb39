"""Gradual release of a kill switch."""

from __future__ import annotations

from aifeature.policies import percent as shares


def place(slug: str, user_id: int) -> int:
    """Return a user's place, 0 to 99, in the release of a feature's switch.

    `aif_release_place` in sql/paused.sql computes the same; a test compares the two.
    """
    return shares.place(f"release:{slug}", user_id, width=4)


def is_released(slug: str, user_id: int, *, percent: int) -> bool:
    """Return whether a switch that is released for this share of users is off for this user."""
    return place(slug, user_id) < percent
