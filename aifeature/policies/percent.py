"""A user's place among the users of a feature, for what is given to a share of them."""

from __future__ import annotations

import hashlib


def place(salt: str, user_id: int, *, width: int = 8) -> int:
    """Return the user's place, 0 to 99: always the same for a salt, and another for each salt.

    Args:
        salt: What is shared out, such as the slug of a feature. Another salt reshuffles everybody.
        user_id: The user.
        width: Leading bytes of the digest that count.
    """
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:width], "big") % 100
