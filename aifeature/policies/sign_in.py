"""Limits of tries to sign in, on the pages and at Flower.

A name at one address has few tries. An address (password spraying) and a name at many addresses
have more, because users share addresses and an attacker can use any name.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

OF_BOTH: Final = 5
OF_ADDRESS: Final = 20
OF_NAME: Final = 20
"""Tries within `WINDOW` of the first."""

WINDOW: Final = timedelta(minutes=15)
