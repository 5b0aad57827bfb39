"""What instructions ask for beyond the task: how much, what to keep, what to say when unsure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
} | {"single": 1}

_NUMBER = r"(?:\d{1,3}|" + "|".join(NUMBER_WORDS) + r")"
_AMOUNT = re.compile(
    rf"\b(?:{_NUMBER}\s*(?:-|–|to|or)\s*)?({_NUMBER})[\s-]+(?:[\w'’-]+\s+){{0,2}}?"  # noqa: RUF001
    r"(sentence|fact|point|bullet|item|word|highlight|takeaway|entr)",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"\b(minItems|maxItems|minimum|maximum|minLength|maxLength): (-?\d+)")
_NUMBERS = re.compile(
    r"\b(?:numbers?|figures?|amounts?|dates?|deadlines?|quantit\w+|prices?)\b", re.IGNORECASE
)
_NAMES = re.compile(r"\b(?:names?|people|persons?|who\b|owners?|parties|places?)\b", re.IGNORECASE)
_DECISIONS = re.compile(
    r"\b(?:decisions?|decided|outcomes?|actions?|next steps?|agreed|conclusions?|resolution"
    r"|came (?:out )?of)\b",
    re.IGNORECASE,
)
_COVERAGE = re.compile(
    r"\b(?:key facts?|all (?:the )?(?:important|main|key|relevant)|complete|comprehensive|thorough"
    r"|preserv\w+|omit\w*|retain|leave (?:nothing )?out|must (?:include|keep|mention)|every\b"
    r"|cover(?:s|ing|age)?)\b",
    re.IGNORECASE,
)
_CITE = re.compile(
    r"\b(?:cit(?:e|es|ing|ations?)|section (?:ids?|numbers?)|refer to the section)\b", re.IGNORECASE
)
_QUOTED = re.compile(r"[\"“]([^\"“”\n]{3,200})[\"”]")
_UNSURE = re.compile(
    r"\b(?:know|find|found|sure|answer|unable|cannot|can't|don't|not)\b", re.IGNORECASE
)
_SPARSE = re.compile(r"\b(?:too (?:little|short)|not enough|nothing) to\b", re.IGNORECASE)
_AMOUNTS = {"word": "words", "sentence": "sentences"}


@dataclass(frozen=True, slots=True)
class Cues:
    """What a text asks for. Counts are upper bounds, None where it names none."""

    sentences: int | None = None
    items: int | None = None
    words: int | None = None
    numbers: bool = False
    names: bool = False
    decisions: bool = False
    coverage: bool = False
    cite: bool = False
    sparse: bool = False
    """Whether a text that holds too little is to be called so."""

    unknown: str | None = None
    """The sentence to answer with when the material does not say."""

    @property
    def demands(self) -> int:
        """How many kinds of content are to be kept."""
        return self.numbers + self.names + self.decisions + self.coverage


@lru_cache(maxsize=512)
def read(text: str) -> Cues:
    """The cues in a piece of instructions or in a field's description."""
    amounts: dict[str, int] = {}
    for amount in _AMOUNT.finditer(text):
        name = _AMOUNTS.get(amount[2].casefold(), "items")
        value = NUMBER_WORDS.get(amount[1].casefold())
        amounts.setdefault(name, value if value is not None else int(amount[1]))
    quoted = (m[1].strip() for m in _QUOTED.finditer(text))
    return Cues(
        sentences=amounts.get("sentences"),
        items=amounts.get("items"),
        words=amounts.get("words"),
        numbers=bool(_NUMBERS.search(text)),
        names=bool(_NAMES.search(text)),
        decisions=bool(_DECISIONS.search(text)),
        coverage=bool(_COVERAGE.search(text)),
        cite=bool(_CITE.search(text)),
        sparse=bool(_SPARSE.search(text)),
        unknown=next((q for q in quoted if _UNSURE.search(q) and " " in q), None),
    )


def limits(description: str) -> dict[str, int]:
    """Bounds that the SDK moved from a schema into a description, as `{maxItems: 5}`."""
    return {m[1]: int(m[2]) for m in _LIMIT.finditer(description)}
