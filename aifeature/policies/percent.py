"""A user's place among all users, for gradual rollouts."""

from __future__ import annotations

import hashlib


def place(salt: str, user_id: int, *, width: int = 8) -> int:
    """Return the user's place, 0 to 99. It is fixed for each salt.

    Args:
        salt: Name of the rollout, such as a feature's slug. Another salt reshuffles all users.
        user_id: The user.
        width: Number of leading digest bytes to use.
    """
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:width], "big") % 100
