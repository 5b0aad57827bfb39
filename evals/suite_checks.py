"""Checks of a whole suite: repeated cases, and cases that a prompt already answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final

from aifeature import prompts
from aifeature.spec import Feature
from aifeature.suites import Case, Suite

ALIKE: Final = 0.6
"""Share of the shorter text's word triples from which two cases are near-duplicates."""

LEAST_WORDS: Final = 8
"""Words of an input below which it may be in a prompt by chance."""

_NO_SPACES: Final = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff"
"""Letters of Thai, Japanese and Chinese, where a word has no end. Each counts as a word."""

_WORD: Final = re.compile(rf"[{_NO_SPACES}]|[^\W{_NO_SPACES}]+")


def problems(feature: Feature, suite: Suite) -> list[str]:
    """Return a sentence for each repeated case and each case that leaks into a prompt."""
    return [*_repeated(suite), *_leaked(feature, suite)]


def _repeated(suite: Suite) -> Iterator[str]:
    triples = {case.id: _triples(text_of(case)) for case in suite.cases}
    for one, other in combinations(suite.cases, 2):
        if one.group and one.group == other.group and one.input != other.input:
            continue
        a, b = triples[one.id], triples[other.id]
        if one.input == other.input or (
            a and b and len(a & b) > ALIKE * min(len(a), len(b)) and min(len(a), len(b)) > 1
        ):
            fix = "." if one.input == other.input else ", or give both the same group."
            yield f"The cases {one.id} and {other.id} are nearly the same. Change one{fix}"


def _leaked(feature: Feature, suite: Suite) -> Iterator[str]:
    """Yield the cases whose input, or most of it, is in a prompt: their results mean nothing."""
    written = {
        version: _triples(f"{prompt.system} {prompt.user}")
        for version in prompts.versions(suite.slug)
        for prompt in [prompts.get(feature.slug, version)]
    }
    for case in suite.cases:
        text = text_of(case)
        if len(_WORD.findall(text)) < LEAST_WORDS:
            continue
        triples = _triples(text)
        for version, known in written.items():
            if len(triples & known) > ALIKE * len(triples):
                yield f"The input of the case {case.id} is in the prompt {version}."


def text_of(case: Case) -> str:
    """Return all texts of a case's input."""
    return " ".join(_texts(case.input))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    else:
        yield str(value)


def _triples(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))
