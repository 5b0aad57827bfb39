"""Read from instructions the amounts, the kinds of content and the answer when unsure."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

_COUNTS = "zero one two three four five six seven eight nine ten eleven twelve"
NUMBER_WORDS = {word: n for n, word in enumerate(_COUNTS.split())} | {"single": 1}

_NUMBER = r"(?:\d{1,3}|" + "|".join(NUMBER_WORDS) + r")"
_AMOUNT = re.compile(
    rf"\b(?:{_NUMBER}\s*(?:-|–|to|or)\s*)?({_NUMBER})[\s-]+(?:[\w'’-]{{1,30}}\s+){{0,2}}?"  # noqa: RUF001
    r"(sentence|fact|point|bullet|item|word|highlight|takeaway|entr)",
    re.IGNORECASE,
)
LANGUAGES = {
    "english": "en",
    "german": "de",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "dutch": "nl",
    "polish": "pl",
    "turkish": "tr",
    "russian": "ru",
    "japanese": "ja",
    "chinese": "zh",
}
"""The codes of languages by name."""

_IN_LANGUAGE = re.compile(
    r"\b(?:write|answer|reply|respond|summari[sz]e|translate|sentences?|words?|text|summary|reason)\b"
    rf"[^.;:\n]{{0,40}}?\bin(?:to)?\s+(?:plain\s+|simple\s+)?({'|'.join(LANGUAGES)})\b",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"\b(minItems|maxItems|minimum|maximum|minLength|maxLength): (-?\d{1,15})(?!\d)"
)
_QUOTED = re.compile(r"[\"“]([^\"“”\n]{3,200})[\"”]")
_UNSURE = re.compile(
    r"\b(?:know|find|found|sure|answer|unable|cannot|can't|don't|not)\b", re.IGNORECASE
)
_KINDS = {
    "numbers": r"numbers?|figures?|amounts?|dates?|deadlines?|quantit\w+|prices?",
    "names": r"names?|people|persons?|who|owners?|parties|places?",
    "decisions": r"decisions?|decided|outcomes?|actions?|next steps?|agreed|conclusions?|resolution"
    r"|came (?:out )?of",
    "coverage": r"key facts?|all (?:the )?(?:important|main|key|relevant)|complete|comprehensive"
    r"|thorough|preserv\w+|omit\w*|retain|leave (?:nothing )?out|must (?:include|keep|mention)"
    r"|every|cover(?:s|ing|age)?",
    "cite": r"cit(?:e|es|ing|ations?)|section (?:ids?|numbers?)|refer to the section",
    "sparse": r"(?:too (?:little|short)|not enough|nothing) to",
}
_PATTERNS = {kind: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for kind, words in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Cues:
    """The demands of a text. Counts are upper bounds; None means no bound."""

    sentences: int | None = None
    items: int | None = None
    words: int | None = None
    numbers: bool = False
    names: bool = False
    decisions: bool = False
    coverage: bool = False
    cite: bool = False
    sparse: bool = False
    """Whether the answer must state that a text holds too little."""

    language: str = ""
    """The code of the language in which to write; empty: that of the material."""

    unknown: str | None = None
    """The sentence to answer with when the material has no answer."""

    @property
    def demands(self) -> int:
        """Return the number of kinds of content to keep."""
        return self.numbers + self.names + self.decisions + self.coverage


KINDS = tuple(field.name for field in fields(Cues))


@lru_cache(maxsize=512)
def read(text: str) -> Cues:
    """Return the cues in instructions or in a field's description."""
    amounts: dict[str, Any] = {}
    for amount in _AMOUNT.finditer(text):
        number, noun = amount[1].casefold(), amount[2].casefold()
        name = f"{noun}s" if noun in ("word", "sentence") else "items"
        amounts.setdefault(name, NUMBER_WORDS[number] if number in NUMBER_WORDS else int(number))
    quoted = (match[1].strip() for match in _QUOTED.finditer(text))
    kinds: dict[str, Any] = {k: bool(pattern.search(text)) for k, pattern in _PATTERNS.items()}
    unknown = next((q for q in quoted if _UNSURE.search(q) and " " in q), None)
    demanded = _IN_LANGUAGE.search(text)
    language = LANGUAGES[demanded[1].casefold()] if demanded else ""
    return Cues(unknown=unknown, language=language, **amounts, **kinds)


def limits(description: str) -> dict[str, int]:
    """Return the bounds that the SDK moved from a schema into a description: `{maxItems: 5}`."""
    return {match[1]: int(match[2]) for match in _LIMIT.finditer(description)}
