"""Citations of an answer, each beside the sentence that it supports."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.urls import reverse

from aifeature.spec import Citation, Feature, Source
from aifeature.web import schema

logger = logging.getLogger(__name__)

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD: Final = re.compile(r"\w{3,}")


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
    """Return the sentences of an answer. Each citation is at the sentence closest to its quote."""
    parts = [part for part in _SENTENCE_END.split(text) if part.strip()] or [text]
    sources = sources_of(feature)
    placed: list[list[Cited]] = [[] for _ in parts]
    for number, citation in enumerate(_read(citations), 1):
        cited = _cited(feature, number, citation, sources.get(citation.section))
        placed[_closest(parts, citation.quote)].append(cited)
    return [Sentence(part, tuple(cited)) for part, cited in zip(parts, placed, strict=True)]


def _read(citations: Sequence[Any]) -> Iterator[Citation]:
    for each in citations:
        yield Citation.model_construct(**each)  # stored rows were validated by their release


def _cited(feature: Feature, number: int, citation: Citation, source: Source | None) -> Cited:
    if source is None:
        return Cited(number, citation.section, citation.quote, "")
    url = f"{reverse('sources', kwargs={'slug': feature.slug})}#{source.id}"
    return Cited(number, source.title, citation.quote, url)


def _closest(parts: Sequence[str], quote: str) -> int:
    """Return the index of the sentence with most words of a quote."""
    words = _words(quote)
    return max(range(len(parts)), key=lambda index: (len(words & _words(parts[index])), -index))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
