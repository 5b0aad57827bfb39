"""The language of an input, for features whose route depends on it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from aifeature.services.payloads import input_text

if TYPE_CHECKING:
    from lingua import LanguageDetector

KNOWN: Final = ("DE", "EN", "ES", "FR", "IT", "NL", "PL", "PT", "SV", "TR", "RU", "ZH", "JA", "AR")
"""Languages that are distinguished (ISO 639-1). More need more memory: 20 MB for eight."""

LEAST_LETTERS: Final = 12
"""Letters below which a text has no clear language."""

READ: Final = 2_000
"""Characters that are read. More take time and change no result."""


def of(value: BaseModel) -> str:
    """Return the language of the longest text of an input (ISO 639-1); empty if it is unclear."""
    texts = input_text.texts(value.model_dump(mode="json"))
    return of_text(max(texts, key=len, default=""))


def of_text(text: str) -> str:
    """Return the language of a text (ISO 639-1); empty if it is unclear."""
    text = text[:READ]
    if sum(map(str.isalpha, text)) < LEAST_LETTERS:
        return ""
    found = _detector().detect_language_of(text)
    return found.iso_code_639_1.name.lower() if found else ""


@cache
def _detector() -> LanguageDetector:
    from lingua import IsoCode639_1, LanguageDetectorBuilder  # noqa: PLC0415 (only if needed: 20 MB)

    codes = (getattr(IsoCode639_1, name) for name in KNOWN)
    builder = LanguageDetectorBuilder.from_iso_codes_639_1(*codes)
    return builder.with_low_accuracy_mode().build()
