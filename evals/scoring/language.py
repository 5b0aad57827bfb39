"""Whether a text is in the expected language."""

from __future__ import annotations

from typing import Final

from aifeature.services.payloads import language

LEAST_LETTERS: Final = 25
"""Letters below which any language is accepted: a detector errs on a few words."""

SURE: Final = 0.6
"""Probability from which another language is believed. Names and quoted paths lower it."""

POSSIBLE: Final = 0.15
"""Probability from which the expected language is accepted beside a more probable one."""


def other_than(expected: str, text: str) -> str:
    """Return the language that the text is surely in instead (ISO 639-1); empty if none is."""
    if sum(map(str.isalpha, text)) < LEAST_LETTERS and text.isascii():
        return ""
    found = language.probable(text, 3)
    best = next(iter(found), expected)
    if best == expected or found[best] < SURE or found.get(expected, 0.0) >= POSSIBLE:
        return ""
    return best
