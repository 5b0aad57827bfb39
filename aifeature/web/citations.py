"""Citations of an answer, each beside the sentence that it supports."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.urls import reverse

from aifeature.spec import Citation, Feature, Source
from aifeature.web import schema

logger = logging.getLogger(__name__)

_GAP: Final = re.compile(r"(?<=[.!?])\s+")
_ABBREVIATED: Final = re.compile(
    r"(?:^|[^\w])(?:[^\W\d_]|approx|bzw|ca|cf|dr|etc|ggf|incl|inkl|max|min|mr|mrs|ms|prof|st|usw|vs)\.$",
    re.IGNORECASE,
)
"""A full stop that ends no sentence, as in "e.g."."""

_ITEM: Final = re.compile(r"\d{1,3}\.")
"""The beginning of an item, which is no sentence."""

_BEFORE_A_NUMBER: Final = re.compile(r"\b(?:no|nr)\.$", re.IGNORECASE)

_GOES_ON: Final = re.compile(r"[\"'(\[]*(?=(.))")
"""The first character of the next sentence."""

LONGEST: Final = 8
"""Characters that are read before a full stop: the longest abbreviation, and one more."""

_WORD: Final = re.compile(r"\d+(?:[.,]\d+)*|\w{3,}")
_NAME: Final = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z]\w{2,}")

NAMED: Final = 3
"""Times that a number or a name counts. They are the same in every language."""

ENOUGH: Final = 0.25
"""Share of the weight of a sentence and of a quote that their common words must have."""


@dataclass(frozen=True, slots=True)
class Cited:
    """One citation as it is shown."""

    number: int
    title: str
    """The title of the section, or its id if the section is gone."""
    quote: str
    url: str
    """Where the section can be read; empty if it is gone."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the answer with its citations."""

    text: str
    """Empty at the end of the answer, for citations that no sentence is close to."""
    cited: tuple[Cited, ...]


def field_of(feature: Feature) -> str | None:
    """Return the output field that lists the citations; None if the feature cites nothing."""
    root = feature.output_schema
    for name, found in root.get("properties", {}).items():
        items = schema.resolved(found.get("items", {}), root)
        if feature.sources is not None and items.get("title") == Citation.__name__:
            return str(name)
    return None


def sources_of(feature: Feature) -> Mapping[str, Source]:
    """Return the sections by id; none if the feature's code fails."""
    try:
        found: object = feature.sources() if feature.sources else {}
        return found if isinstance(found, Mapping) else {}
    except Exception:
        logger.exception("feature %s: sources failed", feature.slug)
        return {}


def sentences(feature: Feature, text: str, citations: Sequence[Any]) -> list[Sentence]:
    """Return the sentences of an answer. Each citation is at the sentence closest to its quote.

    Citations that no sentence is clearly close to are at the end, without a sentence.
    """
    parts = list(_split(text)) or [text]
    sources = sources_of(feature)
    read = list(_read(citations))
    known = [f"{each.title} {each.text}" for each in sources.values()]
    rarity = _Rarity([*known, *(each.quote for each in read)])
    placed: list[list[Cited]] = [[] for _ in (*parts, "")]
    for number, citation in enumerate(read, 1):
        cited = _cited(feature, number, citation, sources.get(citation.section))
        placed[rarity.closest(parts, citation.quote)].append(cited)
    found = [Sentence(part, tuple(cited)) for part, cited in zip((*parts, ""), placed, strict=True)]
    return found if found[-1].cited else found[:-1]


def _split(text: str) -> Iterator[str]:
    """Yield the sentences of a text."""
    for line in filter(None, map(str.strip, text.splitlines())):
        begin = 0
        for gap in _GAP.finditer(line):
            if not _continues(line, begin, gap):
                yield line[begin : gap.start()]
                begin = gap.end()
        yield line[begin:]


def _continues(line: str, begin: int, gap: re.Match[str]) -> bool:
    """Return whether the sentence goes on after a gap. Reads a few characters around it."""
    follows = _GOES_ON.match(line, gap.end())
    after = follows[1] if follows else ""
    before = line[max(begin, gap.start() - LONGEST) : gap.start()]
    return (
        after.islower()
        or _ABBREVIATED.search(before) is not None
        or (after.isdigit() and _BEFORE_A_NUMBER.search(before) is not None)
        or _ITEM.fullmatch(line, begin, gap.start()) is not None
    )


def _read(citations: Sequence[Any]) -> Iterator[Citation]:
    for each in citations:
        yield Citation.model_construct(**each)  # stored rows were validated by their release


def _cited(feature: Feature, number: int, citation: Citation, source: Source | None) -> Cited:
    if source is None:
        return Cited(number, citation.section, citation.quote, "")
    url = f"{reverse('sources', kwargs={'slug': feature.slug})}#{source.id}"
    return Cited(number, source.title, citation.quote, url)


class _Rarity:
    """Weighs words by the number of texts that have them. Common words weigh next to nothing."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = len(texts)
        self._with = Counter(word for text in texts for word in _words(text))

    def closest(self, parts: Sequence[str], quote: str) -> int:
        """Return the index of the sentence closest to a quote; len(parts) if none clearly is."""
        if len(parts) == 1:
            return 0
        shares = [self._shared(part, quote) for part in parts]
        best = max(shares)
        return shares.index(best) if best >= ENOUGH and shares.count(best) == 1 else len(parts)

    def _shared(self, part: str, quote: str) -> float:
        """Return the geometric mean of the shares of both texts that their common words are."""
        of_part, of_quote = self._weights(part), self._weights(quote)
        common = sum(of_quote[word] for word in of_quote.keys() & of_part.keys())
        return common and common / math.sqrt(sum(of_part.values()) * sum(of_quote.values()))

    def _weights(self, text: str) -> dict[str, float]:
        """Return the weights of the words of a text. Words that no text has do not count."""
        names = {each.casefold() for each in _NAME.findall(text)}
        return {
            word: (NAMED if word in names or word[0].isdigit() else 1)
            * math.log((self._texts + 1) / self._with[word])
            for word in _words(text)
            if word in self._with
        }


def _words(text: str) -> set[str]:
    """Return the words of a text. Numbers have no separators, which depend on the language."""
    return {
        re.sub("[.,]", "", word) if word[0].isdigit() else word
        for word in _WORD.findall(text.casefold())
    }
