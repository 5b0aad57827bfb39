"""Answer a request: fill its schema, or write a text of the kind that it wants."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from workers.sandbox import classify, fields, imperatives, prompt, tokens
from workers.sandbox.filler import Filler
from workers.sandbox.perturb import Draft
from workers.sandbox.reading import MAX_INSTRUCTIONS, SPARSE, Reading
from workers.sandbox.summarize import Lengths

_JUDGING = re.compile(r"\b(?:score|rate|grade|judge|evaluate)\b", re.IGNORECASE)
_CLASSIFYING = re.compile(r"\b(?:classif\w+|categori[sz]e|category|label)\b", re.IGNORECASE)
_LABEL_LINE = re.compile(
    r"^[ \t]{0,12}[-*][ \t]{0,12}[`\"'*]{0,4}(\w[\w /-]{0,40}?)[`\"'*]{0,4}\s{0,4}"
    r"(?::|\u2013|\u2014|-\s)",
    re.MULTILINE,
)
_BULLETS = re.compile(r"\b(?:bullet|list of|key (?:facts|points)|takeaways)\b", re.IGNORECASE)
_SCALE = re.compile(r"\b(\d{1,9})\s*(?:to|-|–)\s*(\d{1,9})\b")  # noqa: RUF001

SHARE = 0.6
"""Share of `max_tokens` within which an answer is planned."""

COMFORT = 350
"""Tokens above which the first two plans are too long for a reader."""

PLANS = (
    Lengths(),
    Lengths(sentence=190, fact=95),
    Lengths(sentence=150, fact=80, facts=6),
    Lengths(sentence=110, fact=70, facts=4),
    Lengths(sentence=80, fact=60, facts=2),
    Lengths(sentence=60, fact=40, facts=1),
)
"""From the fullest answer to the shortest."""


def answer(body: Mapping[str, Any], error_rates: float = 0.0) -> str:
    """Return the text of the answer; JSON if the request has a schema.

    It is the fullest plan that fits well into `max_tokens`, or else the shortest one, with the
    errors of a model at `error_rates` times their rates.
    """
    reading = Reading(prompt.read(body))
    schema = tokens.schema_of(body)
    room = SHARE * body.get("max_tokens", math.inf)
    text = ""
    for tightened, reading.lengths in enumerate(PLANS):
        if schema is None:
            text = _plain(reading) or SPARSE
        else:
            text = json.dumps(Filler(schema, reading).fill(), ensure_ascii=False)
        if tokens.count(text) <= (min(room, COMFORT) if tightened < 2 else room):  # noqa: PLR2004
            break
    return Draft(text, body, reading).perturbed(error_rates) if error_rates else text


def _plain(reading: Reading) -> str:
    instructions = reading.prompt.instructions[:MAX_INSTRUCTIONS]
    if not reading.prompt.given:
        # The user's own words: no material is between them and the answer.
        asked = (asked for kind, asked in imperatives.read(reading.prompt.loose) if kind == "words")
        if text := next(asked, ""):
            return text
    if verdict := _verdict(reading, instructions):
        return verdict
    if reading.question:
        cited = reading.citations() if reading.cues.cite else []
        return reading.answer() + "".join(f" [{name}]" for name in cited)
    labels = _LABEL_LINE.findall(instructions) if _CLASSIFYING.search(instructions) else []
    if len(labels) > 1:
        meanings = classify.describe(labels, instructions)
        return classify.classify(reading.source, meanings).label
    summary = reading.summary()
    if _BULLETS.search(instructions):
        facts = reading.facts(reading.cues.items or 3)
        return "\n".join([summary, "", *(f"- {fact}" for fact in facts)])
    return summary


def _verdict(reading: Reading, instructions: str) -> str:
    """Return the label or the score that a judge or a moderator gives; nothing for other tasks."""
    scale = _SCALE.search(instructions)
    labels = fields.opposites(instructions) if fields.is_good(reading) is not None else ()
    if labels and not scale:
        return fields.choose(reading, "", "", dict.fromkeys(labels, "")).label
    if not reading.candidate or not _JUDGING.search(instructions):
        return ""
    low, high = (int(scale[1]), int(scale[2])) if scale else (1, 5)
    return f"Score: {reading.judgement.score(low, high)}\n{reading.judgement.reason}"
