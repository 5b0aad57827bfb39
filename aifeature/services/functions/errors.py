"""Failures of a call of a feature's function."""

from __future__ import annotations


class FunctionFailedError(Exception):
    """The function raised, hangs, or ended its process."""

    text_is_ours = True

    def __init__(self, what: str, place: str = "") -> None:
        """`what` is a predicate such as "raised KeyError", `place` where in the code it failed."""
        super().__init__(f"{what} in {place}" if place else what)
        self.what = what


class FunctionsAwayError(Exception):
    """The process of the functions does not start or has ended. No feature is to blame."""

    text_is_ours = True
