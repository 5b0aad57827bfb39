"""Encryption of what a channel must keep secret: its address and the secret of a webhook.

The key is derived from SECRET_KEY. A value that an older key of SECRET_KEY_FALLBACKS encrypted is
still readable, and `channels.renew` encrypts it again, so that the old key may be removed later.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from django.conf import settings

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_PURPOSE: Final = b"aifeature.alert_channels"
_KEY_BYTES: Final = 32


class KeyLostError(Exception):
    """The key that encrypted this address is gone. Enter the address again."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


def encrypted(text: str) -> str:
    """Return the text encrypted with the newest key; an empty text as it is."""
    return _box(_secrets()).encrypt(text.encode()).decode() if text else ""


def decrypted(token: str) -> str:
    """Return the text of `encrypted`.

    Raises:
        KeyLostError: None of the present keys encrypted it.
    """
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 (only where channels are used)

    if not token:
        return ""
    try:
        return _box(_secrets()).decrypt(token).decode()
    except InvalidToken:
        raise KeyLostError from None


def is_of_newest_key(token: str) -> bool:
    """Return whether the newest key encrypted this, or there is nothing to encrypt."""
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    if not token:
        return True
    try:
        _box(_secrets()[:1]).decrypt(token)
    except InvalidToken:
        return False
    return True


def _secrets() -> tuple[str, ...]:
    return (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=8)
def _box(secrets: tuple[str, ...]) -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415

    return MultiFernet([Fernet(_key(secret)) for secret in secrets])


def _key(secret: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE)
    return urlsafe_b64encode(derived.derive(secret.encode()))
