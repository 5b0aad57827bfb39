"""Choose the label whose description is closest to a text.

docs/decisions/sandbox-language.md explains why no library is used.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from workers.sandbox import text as texts

_CATCH_ALL = re.compile(
    "other|general|misc|none|unknown|normal|medium|neutral|safe|ok", re.IGNORECASE
)
_GENERIC = frozenset(
    texts.terms(
        """ask request want need customer user client ticket message text person human mention
        contain about concern involve any something somebody true false case issue problem question
        report"""
    )
)
_NEGATION = re.compile(r"\b(?:false\s+(?:if|when|for)|unless)\b", re.IGNORECASE)
_CONDITION = re.compile(r"\b(?:true\s+(?:if|when|for|only)|whether|if|when)\b", re.IGNORECASE)
_ELSE = re.compile(r"\b(?:false|otherwise|else)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The chosen label and the scores of all labels."""

    label: str
    scores: dict[str, float]


def describe(labels: Sequence[str], *sources: str) -> dict[str, str]:
    """Return the meaning of each label, from lines such as `- label: meaning`."""
    known = sorted(filter(str.strip, labels), key=len, reverse=True)
    names = "|".join(f"({re.escape(label)})" for label in known)
    mention = re.compile(
        rf"(?<![\w-])[`\"'*_]{{0,4}}(?:{names})[`\"'*_]{{0,4}}\s*"
        r"(?::|=|–|—|-\s|\b(?:means|when|if|is\s+for|for)\b|\()",  # noqa: RUF001
        re.IGNORECASE,
    )
    found = dict.fromkeys(labels, "")
    for source in sources:
        mentions = list(mention.finditer(source)) if names else []
        ends = [*(m.start() for m in mentions[1:]), len(source)]
        for match, end in zip(mentions, ends, strict=False):
            meaning = re.split(r"\n|;", source[match.end() : end], maxsplit=1)[0]
            found[known[(match.lastindex or 0) - 1]] += " " + meaning.strip(" .)*`")
    return found


def classify(text: str, descriptions: dict[str, str]) -> Verdict:
    """Return the label whose name and description share most with the text."""
    words = Counter(texts.terms(text))
    profiles = {
        label: set(texts.terms(f"{meaning} {re.sub(r'[_/-]', ' ', label)}"))
        for label, meaning in descriptions.items()
    }
    spread = Counter(term for profile in profiles.values() for term in profile)
    scores = {
        label: sum(
            math.log(1 + len(profiles) / spread[term]) * math.log1p(words[term])
            for term in sorted(profile)
        )
        / (len(profile) + 4) ** 0.3
        for label, profile in profiles.items()
    }
    best = max(scores, key=lambda label: scores[label])
    if not scores[best]:
        best = next((label for label in scores if _CATCH_ALL.search(label)), best)
    return Verdict(best, scores)


def holds(text: str, condition: str) -> bool:
    """Whether a sentence of the text meets one of the alternatives of a condition."""
    negative = _NEGATION.search(condition)
    positive = _CONDITION.search(condition)
    if negative and (positive is None or negative.start() <= positive.start()):
        return not holds(text, condition[negative.end() :])
    if positive:
        condition = condition[positive.end() :]
    condition = _ELSE.split(condition)[0]
    content = [set(texts.terms(sentence)) for sentence in texts.sentences(texts.plain(text))]
    for alternative in re.split(r",|;|/|\bor\b|\n", condition):
        wanted = set(texts.terms(alternative)) - _GENERIC
        if wanted and any(len(wanted & terms) > len(wanted) / 2 for terms in content):
            return True
    return False
