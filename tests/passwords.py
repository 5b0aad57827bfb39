"""A fast password hasher for tests: the product's algorithm with one round."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OneRound(PBKDF2PasswordHasher):
    """PBKDF2 with one round. Processes with the product's settings can verify its hashes."""

    iterations = 1
