"""What a request is answered with: the schema filled, or a text of the kind asked for."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from workers.sandbox import classify, prompt, tokens
from workers.sandbox.filler import Filler
from workers.sandbox.reading import Reading
from workers.sandbox.summarize import Lengths

if TYPE_CHECKING:
    from collections.abc import Mapping

_JUDGING = re.compile(r"\b(?:score|rate|grade|judge|evaluate)\b", re.IGNORECASE)
_CLASSIFYING = re.compile(r"\b(?:classif\w+|categori[sz]e|category|label)\b", re.IGNORECASE)
_LABEL_LINE = re.compile(
    r"^\s*[-*]\s*[`\"'*]*([\w][\w /-]{0,40}?)[`\"'*]*\s*(?::|\u2013|\u2014|-\s)", re.MULTILINE
)
_BULLETS = re.compile(r"\b(?:bullet|list of|key (?:facts|points)|takeaways)\b", re.IGNORECASE)
_SCALE = re.compile(r"\b(\d+)\s*(?:to|-|–)\s*(\d+)\b")  # noqa: RUF001 - both dashes occur


SHARE = 0.6
"""Share of `max_tokens` that an answer is planned to stay within."""

COMFORT = 350
"""Tokens beyond which an answer is tightened for its reader's sake, by one plan or two."""

PLANS = (
    Lengths(),
    Lengths(sentence=190, fact=95),
    Lengths(sentence=150, fact=80, facts=6),
    Lengths(sentence=110, fact=70, facts=4),
    Lengths(sentence=80, fact=60, facts=2),
    Lengths(sentence=60, fact=40, facts=1),
)
"""From the answer one would like to give to the least one can."""


_FOR_COMFORT = 2


def answer(body: Mapping[str, Any]) -> str:
    """The text of the answer; JSON where a schema is given.

    It is the fullest that fits well into `max_tokens`; the least one, if none does.
    """
    reading = Reading(prompt.read(body))
    schema = tokens.schema_of(body)
    room = SHARE * body.get("max_tokens", math.inf)
    text = ""
    for tightened, reading.lengths in enumerate(PLANS):
        text = _answer(reading, schema)
        if tokens.count(text) <= (min(room, COMFORT) if tightened < _FOR_COMFORT else room):
            break
    return text


def _answer(reading: Reading, schema: Mapping[str, Any] | None) -> str:
    if schema is not None:
        return json.dumps(Filler(schema, reading).fill(), ensure_ascii=False)
    return _plain(reading)


def _plain(reading: Reading) -> str:
    asked = reading.prompt.instructions
    if reading.prompt.candidate and _JUDGING.search(asked):
        scale = _SCALE.search(asked)
        low, high = (int(scale[1]), int(scale[2])) if scale else (1, 5)
        return f"Score: {reading.judgement.score(low, high)}\n{reading.judgement.reason}"
    if reading.prompt.question:
        cited = reading.citations() if reading.cues.cite else []
        return reading.answer() + "".join(f" [{name}]" for name in cited)
    labels = _LABEL_LINE.findall(asked) if _CLASSIFYING.search(asked) else []
    if len(labels) > 1:
        told = classify.describe(labels, asked)
        return classify.classify(reading.source, told).label
    summary = reading.summary()
    if _BULLETS.search(asked):
        facts = reading.facts(reading.cues.items or 3)
        return "\n".join([summary, "", *(f"- {fact}" for fact in facts)])
    return summary
