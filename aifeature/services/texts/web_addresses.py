"""Web addresses in logs and error reports, as visitors send them."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from aifeature.personal_data import redact

UNCHECKED: Final = "(an address that could not be checked for personal data)"
LONGEST: Final = 4_000
"""Most characters that are kept. Longer addresses are nonsense."""


def safe(text: str) -> str:
    """Return an address, or a line that quotes one, without personal data.

    Escapes such as %40 are read first. The text is unchanged if nothing is found. Never raises.
    """
    kept = text[:LONGEST]
    plain = unquote(kept)
    try:
        found = redact(plain)
        spaced = found.replace("+", " ")  # as browsers send the spaces of a form
        if "+" in found and (again := redact(spaced)) != spaced:
            return again
    except Exception:  # noqa: BLE001 (a log line that fails would be lost)
        return UNCHECKED
    return kept if found == plain else found
