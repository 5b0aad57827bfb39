"""For whom a kill switch that is released bit by bit is off."""

from __future__ import annotations

import hashlib


def place(slug: str, user_id: int) -> int:
    """A user's place, 0 to 99: always the same, and another for each feature.

    `aif_release_place` in sql/paused.sql computes it as well; a test holds the two equal.
    """
    digest = hashlib.sha256(f"release:{slug}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100


def is_released(slug: str, user_id: int, *, percent: int) -> bool:
    """Whether the switch is off for this user when it is released for this share of them."""
    return percent >= 100 or place(slug, user_id) < percent  # noqa: PLR2004 (all of them)
