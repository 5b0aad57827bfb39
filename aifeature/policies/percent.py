"""A user's place among all users, for gradual rollouts."""

from __future__ import annotations

import hashlib
from typing import Final

HOLDOUT: Final = "holdout"
"""The purpose of the hold-out group."""


def place(salt: str, user_id: int, *, width: int = 8) -> int:
    """Return the user's place, 0 to 99, from the first `width` bytes of a digest.

    It is fixed for each salt, such as a feature's seed. Another salt reshuffles all users.
    `aif_place` in sql/access.sql computes the same; a test compares the two.
    """
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:width], "big") % 100


def canary(pk: int) -> str:
    """Return the purpose of a canary's arms: each canary has one, and so other users."""
    return f"canary-{pk}"


def place_for(seed: str, purpose: str, user_id: int) -> int:
    """Return the user's place, 0 to 99, for one purpose of a feature.

    The places of two purposes are independent. The stage has no purpose: its place is
    `place(seed, user_id)`.
    """
    return place(f"{seed}:{purpose}", user_id)
