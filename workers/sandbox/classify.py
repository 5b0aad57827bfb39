"""Which label fits a text: similarity to what the prompt says about each label."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.sandbox import text as texts

if TYPE_CHECKING:
    from collections.abc import Sequence

_CATCH_ALL = (
    "other",
    "general",
    "misc",
    "none",
    "unknown",
    "normal",
    "medium",
    "neutral",
    "safe",
    "ok",
)
_GENERIC = frozenset(
    [
        "ask",
        "request",
        "want",
        "need",
        "customer",
        "user",
        "client",
        "ticket",
        "messag",
        "text",
        "person",
        "human",
        "mention",
        "contain",
        "about",
        "concern",
        "involv",
        "ani",
        "someth",
        "somebodi",
        "true",
        "fals",
        "case",
        "issu",
        "problem",
        "question",
        "report",
    ]
)
_NEGATION = re.compile(r"\b(?:false\s+(?:if|when|for)|unless)\b", re.IGNORECASE)
_CONDITION = re.compile(r"\b(?:true\s+(?:if|when|for|only)|whether|if|when)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The label chosen, how sure (0 to 1), the words that spoke for it, and all scores."""

    label: str
    confidence: float
    evidence: tuple[str, ...]
    scores: dict[str, float]


def describe(labels: Sequence[str], *sources: str) -> dict[str, str]:
    """What the sources say about each label, in lines such as `- label: meaning`."""
    names = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    mention = re.compile(
        rf"(?<![\w-])[`\"'*_]*({names})[`\"'*_]*\s*(?::|=|–|—|-\s|\bmeans\b|\bwhen\b|\bif\b|\bis\s+for\b|\bfor\b|\()",  # noqa: RUF001
        re.IGNORECASE,
    )
    by_name = {label.casefold(): label for label in labels}
    found = dict.fromkeys(labels, "")
    for source in sources:
        mentions = list(mention.finditer(source)) if names else []
        ends = [*(m.start() for m in mentions[1:]), len(source)]
        for match, end in zip(mentions, ends, strict=False):
            meaning = re.split(r"\n|;", source[match.end() : end], maxsplit=1)[0]
            found[by_name[match[1].casefold()]] += " " + meaning.strip(" .)*`")
    return found


def classify(text: str, descriptions: dict[str, str]) -> Verdict:
    """The label whose name and description share most with the text."""
    words = Counter(texts.keys(text))
    profiles = {
        label: set(texts.keys(meaning)) | set(texts.keys(re.sub(r"[_\-/]", " ", label)))
        for label, meaning in descriptions.items()
    }
    spread = Counter(term for profile in profiles.values() for term in profile)
    total = len(profiles)
    scores = {
        label: sum(
            math.log(1 + total / spread[t]) * math.log1p(words[t])
            for t in sorted(profile)
            if t in words
        )
        / (len(profile) + 4) ** 0.3
        for label, profile in profiles.items()
    }
    best = max(scores, key=lambda label: scores[label])
    if scores[best] == 0.0:
        fallback = next((x for x in scores if any(c in x.casefold() for c in _CATCH_ALL)), best)
        return Verdict(fallback, 0.34, (), scores)
    others = sum(scores.values()) - scores[best]
    share = scores[best] / (scores[best] + others)
    evidence = tuple(t for t in profiles[best] if t in words)
    return Verdict(best, round(0.5 + share / 2, 2), tuple(sorted(evidence))[:5], scores)


def holds(text: str, condition: str) -> bool:
    """Whether the text meets one of the alternatives a condition names, sentence by sentence."""
    negative = _NEGATION.search(condition)
    positive = _CONDITION.search(condition)
    if negative and (positive is None or negative.start() <= positive.start()):
        return not holds(text, condition[negative.end() :])
    if positive:
        condition = condition[positive.end() :]
    condition = re.split(r"\b(?:false|otherwise|else)\b", condition, flags=re.IGNORECASE)[0]
    said = [set(texts.keys(sentence)) for sentence in texts.sentences(texts.plain(text))]
    for alternative in re.split(r",|;|/|\bor\b|\n", condition):
        wanted = {key for key in texts.keys(alternative) if key not in _GENERIC}
        if wanted and any(len(wanted & have) > len(wanted) / 2 for have in said):
            return True
    return False
