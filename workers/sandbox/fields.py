"""Which method fills a field: decided by the field's name, then by its description."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workers.sandbox import classify, cues
from workers.sandbox import text as texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.sandbox.reading import Reading

_KINDS = {
    "reason": r"reason|rationale|explanation|explain|why|justif\w*|comment|analysis|thinking|note",
    "quote": r"quote|excerpt|passage|verbatim|snippet|evidence",
    "citation": r"section|citation|cite|source|ref|reference|id|slug",
    "title": r"title|heading|subject|headline",
    "summary": r"summary|tldr|abstract|overview|gist|synopsis|summari[sz]e",
    "answer": r"answer|reply|response",
    "keyword": r"keyword|tag|topic|term|theme",
    "missing": r"missing|omitted|omission|gap",
    "unsupported": r"unsupported|hallucination|hallucinated|error|issue|problem|violation|flag"
    r"|mistake",
    "number": r"number|amount|figure|price",
    "date": r"date|deadline",
    "person": r"person|people|name|participant|author",
    "fact": r"fact|point|highlight|takeaway|detail|bullet",
}
_PATTERNS = {kind: re.compile(rf"(?:{words})s?", re.IGNORECASE) for kind, words in _KINDS.items()}
_EXTRACT = {
    "number": re.compile(r"[$€£]?\d+(?:[.,:]\d+)*\s?%?"),
    "date": re.compile(
        r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}"
        r"|(?:\d{1,2} )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
        r"(?: \d{1,2})?(?:,? \d{4})?"
        r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
    ),
    "person": re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][a-z]+(?: [A-Z][a-z]+)*", re.MULTILINE),
}
_SCORE = re.compile(
    r"score|rating|grade|quality|stars?|points|faithful|coverage|relevan|accura", re.IGNORECASE
)
_SCALE = re.compile(r"\b(\d+)\s*(?:to|-|–|through|and)\s*(\d+)\b")  # noqa: RUF001 - both dashes occur
_SURE = re.compile(r"confiden|probab|certain|likelihood", re.IGNORECASE)
_GOOD = re.compile(
    r"^(?:is_?)?(?:pass(?:ed|es)?|ok|good|correct|faithful|supported|accurate|valid|acceptable)$",
    re.IGNORECASE,
)
_BAD = re.compile(
    r"^(?:is_?)?(?:fail(?:ed|s)?|bad|incorrect|unfaithful|unsupported|invalid|wrong|hallucinat\w+)$",
    re.IGNORECASE,
)
_FOUND = re.compile(
    r"answerable|found|known|grounded|can_?answer|has_?answer|in_?(?:handbook|source)",
    re.IGNORECASE,
)
_SAFE = re.compile(r"^(?:is_?)?(?:safe|appropriate|allowed|clean|ok|acceptable)$", re.IGNORECASE)
_GRADE_TO_PASS = 0.6


def kind_of(name: str, description: str) -> str:
    """The kind of text a field wants; `fact` if nothing tells."""
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " ").replace("-", " ").split()
    for word in reversed(words):
        for kind, pattern in _PATTERNS.items():
            if pattern.fullmatch(word):
                return kind
    for word in re.findall(r"[^\W\d_]+", description):
        for kind, pattern in _PATTERNS.items():
            if pattern.fullmatch(word):
                return kind
    return "fact"


def text_for(reading: Reading, name: str, description: str, place: tuple[int, int] = (0, 1)) -> str:
    """A text for a field; `place` is (index, length) of the list of objects it stands in."""
    index, length = place
    kind = kind_of(name, description)
    if kind == "summary":
        return reading.summary(description)
    if kind == "answer":
        return reading.answer(description)
    if kind == "reason":
        return _reason(reading)
    if kind == "title":
        best = reading.summarizer.best(1, reading.cues)
        return texts.clip(best[0].text if best else reading.source.strip(), 80).rstrip(".")
    items = texts_for(reading, name, description, length)
    return items[index] if index < len(items) else (items[-1] if items else "")


def texts_for(reading: Reading, name: str, description: str, count: int) -> list[str]:
    """Up to `count` texts for a list."""
    kind = kind_of(name, description)
    found: Sequence[str]
    if kind == "citation":
        found = reading.citations()
    elif kind == "quote" and reading.prompt.question:
        hits = reading.finding.hits if reading.finding.known else ()
        found = [hit.sentences[0] for hit in hits if hit.sentences]
    elif kind == "keyword":
        found = reading.summarizer.top_terms(count)
    elif kind == "missing":
        found = reading.judgement.missing if reading.prompt.candidate else ()
    elif kind == "unsupported":
        found = reading.judgement.unsupported if reading.prompt.candidate else ()
    elif kind in _EXTRACT:
        found = [m.strip() for m in _EXTRACT[kind].findall(texts.plain(reading.source))]
    else:
        found = reading.facts(count, description)
    return list(dict.fromkeys(found))[:count]


def amount(reading: Reading, name: str, description: str, most: int | None) -> int:
    """How many items a list should get, at most `most`."""
    kind = kind_of(name, description)
    asked = reading.asked(description) if kind in ("fact", "summary") else cues.read(description)
    # Only a prompt that says what matters gets more than the usual few.
    count = asked.items or (5 if reading.cues.demands else 3)
    return count if most is None else min(count, most)


def _reason(reading: Reading) -> str:
    if reading.prompt.candidate:
        return reading.judgement.reason
    if reading.prompt.question:
        cited = ", ".join(reading.citations())
        return f"It rests on: {cited}." if cited else "The text given does not speak of it."
    best = reading.summarizer.best(1, reading.cues)
    return f"The text says: {best[0].text}" if best else "The text is empty."


def choose(reading: Reading, description: str, labels: dict[str, str]) -> classify.Verdict:
    """One label of a closed list; `labels` maps each to what its own schema says about it."""
    if reading.prompt.candidate:
        good = reading.judgement.grade >= _GRADE_TO_PASS
        polar = next((x for x in labels if (_GOOD if good else _BAD).match(x)), None)
        if polar is not None:
            return classify.Verdict(polar, round(abs(reading.judgement.grade), 2), (), {})
    listed = "\n".join(m.text for m in reading.prompt.materials if m.is_a(("labels", "categories")))
    told = classify.describe(list(labels), description, reading.prompt.instructions, listed)
    merged = {label: f"{own} {told[label]}" for label, own in labels.items()}
    return classify.classify(texts.plain(reading.source), merged)


def truth(reading: Reading, name: str, description: str) -> bool:
    """A yes or no."""
    if reading.prompt.candidate:
        passed = reading.judgement.grade >= _GRADE_TO_PASS
        return not passed if _BAD.match(name) else passed
    if reading.prompt.question and _FOUND.search(f"{name} {description}"):
        return reading.finding.known
    condition = _condition(reading, name, description)
    if _SAFE.match(name) and not re.search(r"\b(?:false|unless)\b", condition, re.IGNORECASE):
        return True
    return classify.holds(reading.source, condition)


def _condition(reading: Reading, name: str, description: str) -> str:
    """What the description, or else a line of the instructions, says about a yes-or-no field."""
    if description.strip():
        return description
    told = classify.describe([name, name.replace("_", " ")], reading.prompt.instructions)
    return next((meaning for meaning in told.values() if meaning.strip()), name.replace("_", " "))


def number(reading: Reading, name: str, description: str, bounds: tuple[Any, Any]) -> float:
    """A number before it is fitted to its bounds."""
    low, high = bounds
    told = f"{name} {description}"
    if reading.prompt.candidate and (_SCORE.search(told) or not _SURE.search(told)):
        if low is None or high is None:
            scale = _SCALE.search(description) or _SCALE.search(reading.prompt.instructions)
            low, high = (int(scale[1]), int(scale[2])) if scale else (1, 5)
        grade = reading.judgement.grade
        if re.search(r"faithful|support|accura", name, re.IGNORECASE):
            grade = reading.judgement.faithfulness
        elif re.search(r"coverage|complete|recall", name, re.IGNORECASE):
            grade = reading.judgement.coverage
        return float(low + grade * (high - low))
    if _SURE.search(told):
        share = reading.finding.coverage if reading.prompt.question else 0.8
        return share if high is None or high <= 1 else share * high
    if reading.prompt.question or low is not None:
        return float(low or 0)
    found = texts_for(reading, "number", "", 1)
    digits = re.sub(r"[^\d.]", "", found[0].replace(",", "")).strip(".") if found else ""
    return float(digits) if re.fullmatch(r"\d+(?:\.\d+)?", digits) else 0.0
