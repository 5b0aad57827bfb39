"""Idempotency keys as they are stored. One that holds personal data is stored as an HMAC of it."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.utils.crypto import salted_hmac

from aifeature.models.free_text import without_personal_data

HASHED: Final = "hmac:"
"""How a stored key begins that is an HMAC. A client's own key that begins so is hashed too."""


def stored(key: str) -> str:
    """Return the key as it is stored: itself, or an HMAC. Different keys stay different."""
    return key if _is_kept(key) else _hashed(key)


def possible(key: str) -> list[str]:
    """Return each text under which a row may have this key.

    An earlier release may have stored it as it is, or hashed it, under an old SECRET_KEY too.
    """
    own = [] if key.startswith(HASHED) else [key]
    return own + [
        _hashed(key, each) for each in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ]


def _is_kept(key: str) -> bool:
    return not key.startswith(HASHED) and without_personal_data(key) == key


def _hashed(key: str, secret: str | None = None) -> str:
    found = salted_hmac("aifeature.idempotency_key", key, secret=secret, algorithm="sha256")
    return HASHED + found.hexdigest()
