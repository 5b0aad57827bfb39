"""Exit codes without a verdict, and that of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WRONG: Final = 2
"""The command is wrong or cannot start."""

UNFINISHED: Final = 3
"""Not comparable, or unfinished."""


def worst(codes: Sequence[int]) -> int:
    """Return the exit code of several runs: a regression counts more than a missing verdict."""
    return next((code for code in (1, *sorted(codes, reverse=True)) if code in codes), 0)
