"""Kinds of personal data, and the place of one in a text."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """A kind of personal data."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    NATIONAL_ID = "national_id"
    IP_ADDRESS = "ip_address"
    SECRET = "secret"  # noqa: S105
    """A password, key or token."""

    @property
    def label(self) -> str:
        """Its word in a placeholder, such as EMAIL in `[EMAIL_1]`."""
        return _LABELS.get(self, self.value.upper())


_LABELS = {Kind.NATIONAL_ID: "ID", Kind.IP_ADDRESS: "IP"}


class Match(NamedTuple):
    """A value at text[start:end]."""

    start: int
    end: int
    kind: Kind
    value: str
    """The value, normalised: two spellings of one value are equal."""
