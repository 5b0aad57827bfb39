"""Recognises answers in a wrong language and answers about something else; see also `refusals`.

The detector of languages is an argument (`payloads.language.probable`), because it belongs to a
room of the same row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

LEAST_LETTERS: Final = 20
"""Letters below which a text has no clear language."""

SURE: Final = 0.9
"""Share of one language among the expected ones from which the detector is sure."""

CANDIDATES: Final = 12
"""Most probable languages that are read from the detector."""

LEAST_TOPIC_LETTERS: Final = 40
"""Letters below which an answer has no clear topic."""

LEAST_STEMS: Final = 4
"""Content words below which an answer has no clear topic."""

SHARED: Final = 0.1
"""Share of an answer's content words that must be in the input."""

CLOSE: Final = 0.3
"""Share from which an answer has the topic and the language of the input without more checks."""

READ: Final = 500
"""Characters of an input from which its language is read."""

READ_FOR_TOPIC: Final = 100_000
"""Characters of an input from which its content words are read."""

Detect = Callable[[str, int], Mapping[str, float]]
"""Returns the most probable languages of a text (ISO 639-1) with their probabilities."""

_NUMBERED: Final = re.compile(r"\[[A-Z_]{2,20}_\d+\]|\[\d+\]")
_CODE: Final = re.compile(r"`[^`\n]{0,200}`")
_WORD: Final = re.compile(r"[^\W_]+")
_DENSE: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff]+")
"""Letters of scripts without spaces between words."""

_STEM: Final = 5


def language_problem(text: str, *, expected: str, among: tuple[str, ...], detect: Detect) -> str:
    """Return why a text is not in the expected language; empty if it is, or if that is unclear.

    Args:
        text: The answer.
        expected: Its language (ISO 639-1).
        among: The languages that it may have been written in.
        detect: The detector, such as `payloads.language.probable`.
    """
    text = _prose(text)
    if sum(map(str.isalpha, text)) < LEAST_LETTERS or expected not in among:
        return ""
    found = detect(text, CANDIDATES)
    known = {language: found.get(language, 0.0) for language in among}
    best = max(known, key=known.__getitem__)
    # The share of all languages keeps names and numbers from counting as a language.
    if best == expected or known[best] < SURE * max(sum(known.values()), 0.6):
        return ""
    return f"the answer is in the language {best}, not in {expected}"


def _prose(text: str) -> str:
    """Return a text without placeholders, citations, addresses and code."""
    words = _CODE.sub(" ", text).split()
    return " ".join(_NUMBERED.sub(" ", word) for word in words if not _is_address(word))


def _is_address(word: str) -> bool:
    return "//" in word or "@" in word or (word.count(".") > 0 and "/" in word)


def language_of(text: str, among: tuple[str, ...], detect: Detect) -> str:
    """Return which of the languages a text is in; empty if it is another one, or if unclear."""
    text = text[:READ]
    if sum(map(str.isalpha, text)) < LEAST_LETTERS:
        return ""
    found = detect(text, CANDIDATES)
    best = max(found, key=found.__getitem__, default="")
    return best if best in among and found[best] >= SURE * sum(found.values()) else ""


def off_topic(answer: str, given: str, *, detect: Detect) -> bool:
    """Return whether an answer shares almost no content words with the input it is made from.

    False for short answers, and if the languages differ or are unclear.
    """
    if sum(map(str.isalpha, answer)) < LEAST_TOPIC_LETTERS:
        return False
    share = shared(answer, given)
    if share is None or share >= SHARED:
        return False
    return _language(answer, detect) == _language(given[:READ], detect)


def shared(answer: str, given: str) -> float | None:
    """Return the share of an answer's content words that are in the input; None for too few."""
    stems = _stems(_prose(answer))
    if len(stems) < LEAST_STEMS:
        return None
    return len(stems & _stems(given[:READ_FOR_TOPIC])) / len(stems)


def _language(text: str, detect: Detect) -> str:
    return max((found := detect(text, 1)), key=found.__getitem__, default="")


def _stems(text: str) -> set[str]:
    """Return the beginnings of the longer words, the numbers, and pairs of letters in Chinese."""
    text = text.casefold()
    if text.isascii():
        return {word[:_STEM] for word in _WORD.findall(text) if _counts(word)}
    text = unicodedata.normalize("NFKD", text)
    text = "".join(char for char in text if not unicodedata.combining(char))
    dense = _DENSE.findall(text)
    pairs = {run[at : at + 2] for run in dense for at in range(len(run) - 1)}
    words = _WORD.findall(_DENSE.sub(" ", text))
    return pairs | {word[:_STEM] for word in words if _counts(word)}


def _counts(word: str) -> bool:
    return len(word) >= _STEM or word.isdigit()
