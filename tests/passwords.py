"""Passwords that cost tests no time: hashed as elsewhere, but once instead of a million times."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OneRound(PBKDF2PasswordHasher):
    """What it makes, processes with the settings of production read as well."""

    iterations = 1
