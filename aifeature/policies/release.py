"""For whom a kill switch that is released bit by bit is off."""

from __future__ import annotations

from aifeature.policies import percent as shares


def place(slug: str, user_id: int) -> int:
    """Return a user's place, 0 to 99, in the release of a feature's switch.

    `aif_release_place` in sql/paused.sql computes it as well; a test holds the two equal.
    """
    return shares.place(f"release:{slug}", user_id, width=4)


def is_released(slug: str, user_id: int, *, percent: int) -> bool:
    """Whether the switch is off for this user when it is released for this share of them."""
    return place(slug, user_id) < percent
