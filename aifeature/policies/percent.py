"""A user's place among all users, for gradual rollouts."""

from __future__ import annotations

import hashlib


def place(salt: str, user_id: int, *, width: int = 8) -> int:
    """Return the user's place, 0 to 99, from the first `width` bytes of a digest.

    It is fixed for each salt, such as a feature's slug. Another salt reshuffles all users.
    """
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:width], "big") % 100
