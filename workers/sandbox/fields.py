"""Choose the method that fills a field, by the field's name, then by its description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from workers.sandbox import classify, cues
from workers.sandbox import text as texts
from workers.sandbox.reading import MAX_INSTRUCTIONS, Reading

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
_KIND = re.compile(
    "|".join(f"(?P<{kind}>(?:{words})s?)" for kind, words in _KINDS.items()), re.IGNORECASE
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+")
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
_AMOUNT = re.compile(r"(?<!\d)(?<!\d[.,:])\d{1,15}(?:,\d{1,15}){0,9}(?:\.\d{1,15})?(?![.,:]?\d)")
"""A number that is no part of a date, a version, a time or a long code."""

_SCALE = re.compile(r"\b(\d{1,9})\s*(?:to|-|–|through|and)\s*(\d{1,9})\b")  # noqa: RUF001
_SURE = re.compile(r"confiden|probab|certain|likelihood", re.IGNORECASE)
_GOOD = re.compile(
    r"(?:is_?)?(?:pass(?:ed|es)?|ok|good|correct|faithful|supported|accurate|valid|acceptable"
    r"|safe|appropriate|allow(?:ed)?|clean|harmless)|none?",
    re.IGNORECASE,
)
_BAD = re.compile(
    r"(?:is_?)?(?:fail(?:ed|s)?|bad|incorrect|unfaithful|unsupported|invalid|wrong|hallucinat\w+"
    r"|unsafe|inappropriate|harmful|flag(?:ged)?|violat\w+|block(?:ed)?)",
    re.IGNORECASE,
)
_FOUND = re.compile(
    r"\b(?:answer(?:s|ed|able)?|found|known?|grounded|covered|supported|stated|in (?:the )?\w+"
    r"|(?:un|not )(?:answer\w*|found|known|covered|supported)|missing|absent|lacks?)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"\b(?:not|no|none|nothing|never|without|cannot|can't|doesn't|isn't|missing|absent|lacks?"
    r"|unanswer\w+|unknown|unfound|uncovered|unsupported|outside|out of)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(true|false)\b(.*?)(?=\b(?:true|false|otherwise|else)\b|$)", re.DOTALL)
_LABEL = re.compile(r"\w+(?:-\w+)*")
_MODERATING = re.compile(r"\b(?:moderat\w+|unsafe|harmful)\b", re.IGNORECASE)
_LANGUAGE = re.compile(
    r"\b(?:languages?|lang|locale|iso.?639|sprache|langue|idioma|lingua)\b", re.IGNORECASE
)
_LOW = re.compile(r"(?:very[ _-]?)?low|none|no|weak|un(?:sure|certain|known)", re.IGNORECASE)
_HIGH = re.compile(r"(?:very[ _-]?)?high|yes|strong|sure|certain|full", re.IGNORECASE)
"""The ends of a scale in words. Other words are between them."""

_SURENESS = 0.8
"""The confidence in a result that is no answer to a question."""

_GRADE_TO_PASS = 0.6


@lru_cache(maxsize=4096)
def kind_of(name: str, description: str) -> str:
    """Return the kind of text that a field needs; `fact` by default."""
    words = _WORD.findall(_CAMEL.sub(" ", name))[::-1] + _WORD.findall(description)
    matches = (_KIND.fullmatch(word) for word in words)
    return next((str(match.lastgroup) for match in matches if match), "fact")


def text_for(reading: Reading, name: str, description: str, place: tuple[int, int] = (0, 1)) -> str:
    """Return a text for a field; `place` is (index, length) of the list of its object."""
    index, length = place
    if _LANGUAGE.fullmatch(name):
        return texts.languages(texts.plain(reading.source))[0]
    match kind_of(name, description):
        case "summary":
            return reading.translated(reading.summary(description), description)
        case "answer":
            return reading.translated(reading.answer(description), description)
        case "reason":
            return reading.translated(_reason(reading), description)
        case "title":
            best = reading.summarizer.best(1, reading.cues)
            return texts.clip(best[0].text if best else reading.source.strip(), 80).rstrip(".")
    items = texts_for(reading, name, description, length) or [""]
    return items[min(index, len(items) - 1)]


def texts_for(reading: Reading, name: str, description: str, count: int) -> list[str]:
    """Return up to `count` texts for a list."""
    kind = kind_of(name, description)
    found: Sequence[str]
    if kind == "citation":
        found = reading.citations()
    elif kind == "quote" and reading.question:
        hit = reading.finding.hit
        found = [hit.quote] if hit and hit.quote and reading.finding.known else []
    elif kind == "keyword":
        found = reading.summarizer.top_terms(count)
    elif kind in ("missing", "unsupported"):
        found = getattr(reading.judgement, kind) if reading.candidate else ()
    elif kind in _EXTRACT:
        found = [m.strip() for m in _EXTRACT[kind].findall(texts.plain(reading.source))]
    else:
        found = reading.facts(count, description)
    return list(dict.fromkeys(found))[:count]


def amount(reading: Reading, name: str, description: str, most: int | None) -> int:
    """Return the number of items of a list, at most `most`."""
    is_prose = kind_of(name, description) in ("fact", "summary")
    demands = reading.demands(description) if is_prose else cues.read(description)
    # A prompt that names the content to keep gets more items.
    count = demands.items or (5 if reading.cues.demands else 3)
    return count if most is None else min(count, most)


def _reason(reading: Reading) -> str:
    if reading.candidate:
        return reading.judgement.reason
    if (good := is_good(reading)) is not None:
        return "No sign of harm." if good else f"It has signs of: {', '.join(reading.harms)}."
    if reading.question:
        cited = ", ".join(reading.citations())
        return f"It rests on: {cited}." if cited else "The text given does not speak of it."
    best = reading.summarizer.best(1, reading.cues)
    return f"The text says: {best[0].text}" if best else "The text is empty."


def choose(
    reading: Reading, name: str, description: str, labels: dict[str, str]
) -> classify.Verdict:
    """Return one label of a closed list; `labels` has each one's own description."""
    about = f"{_spaced(name)} {description}"
    if label := _language(reading, about, labels) or _level(reading, about, labels):
        return classify.Verdict(label, {label: 1.0})
    verdict = is_good(reading, description)
    if verdict is not None:
        wanted = _GOOD if verdict else _BAD
        if polar := next((label for label in labels if wanted.fullmatch(label)), None):
            return classify.Verdict(polar, {})
    found = meanings(reading, description, labels)
    merged = {label: f"{own} {found[label]}" for label, own in labels.items()}
    if verdict is False and (harms := reading.harms):
        merged = {k: f"{v} {k}" for k, v in merged.items() if not _GOOD.fullmatch(k)} or merged
        for harm in harms:
            words = set(texts.terms(harm))
            if named := [k for k in merged if not words.isdisjoint(texts.terms(_spaced(k)))]:
                return classify.Verdict(named[0], {named[0]: 1.0})
        return classify.classify(f"{' '.join(harms)} {reading.source}", merged)
    return classify.classify(texts.plain(reading.source), merged)


def meanings(reading: Reading, description: str, labels: Iterable[str]) -> dict[str, str]:
    """Return the meaning of each label by its field's description, the instructions and lists."""
    listed = "\n".join(m.text for m in reading.prompt.materials if m.is_a(("labels", "categories")))
    return classify.describe(list(labels), description, reading.prompt.instructions, listed)


def is_of_language(name: str, description: str) -> bool:
    """Whether a field has the code or the name of a language."""
    return _LANGUAGE.search(f"{_spaced(name)} {description}") is not None


def _spaced(name: str) -> str:
    return _CAMEL.sub(" ", name).replace("_", " ")


def _language(reading: Reading, about: str, labels: Iterable[str]) -> str | None:
    """Return the label of the text's language, if the labels are codes or names of languages.

    In a field that is not described as a language, the most probable one must be a label.
    """
    codes: dict[str, str] = {}
    for label in labels:
        code = re.split(r"[-_]", label.casefold())[0]
        codes.setdefault(cues.LANGUAGES.get(code, code), label)
    short = [code for code in codes if len(code) == 2]  # noqa: PLR2004 (ISO 639-1)
    if 2 * len(short) <= len(codes):
        return None
    known = texts.languages(texts.plain(reading.source))
    if _LANGUAGE.search(about):
        return next((codes[code] for code in known if code in codes), None)
    return codes.get(known[0])


def _level(reading: Reading, about: str, labels: Iterable[str]) -> str | None:
    """Return the label of the confidence in the answer, if the labels are levels of it."""
    ordered = sorted(labels, key=lambda label: bool(_HIGH.fullmatch(label)) - _is_low(label))
    if not (_SURE.search(about) and _is_low(ordered[0]) and _HIGH.fullmatch(ordered[-1])):
        return None
    if reading.question and not reading.finding.known:
        return ordered[0]
    sure = reading.finding.margin if reading.question else _SURENESS
    return ordered[min(1 + int(sure * (len(ordered) - 1)), len(ordered) - 1)]


def _is_low(label: str) -> bool:
    return _LOW.fullmatch(label) is not None


def is_good(reading: Reading, about: str = "") -> bool | None:
    """Return the verdict on the text to judge or to moderate; None if there is none to give."""
    if reading.candidate:
        return reading.judgement.grade >= _GRADE_TO_PASS
    if _MODERATING.search(f"{reading.prompt.instructions[:MAX_INSTRUCTIONS]} {about}"):
        return not reading.harms
    return None


def polarity(label: str) -> bool | None:
    """Whether a label or a field's name means good; None if it means neither."""
    return True if _GOOD.fullmatch(label) else False if _BAD.fullmatch(label) else None


def opposites(instructions: str) -> tuple[str, ...]:
    """Return the last two labels side by side that mean good and bad, such as `SAFE or UNSAFE`."""
    words = [word for word in _LABEL.findall(instructions) if word.casefold() not in ("or", "and")]
    pairs = (pair for pair in pairwise(words) if {*map(polarity, pair)} == {True, False})
    return next(reversed([*pairs]), ())


def truth(reading: Reading, name: str, description: str) -> bool:
    """Return the value of a yes-or-no field."""
    spaced = _spaced(name)
    verdict = is_good(reading, f"{spaced} {description}")
    if verdict is not None and (reading.candidate or polarity(name) is not None):
        return verdict == (polarity(name) is not False)
    if reading.question and _FOUND.search(f"{spaced} {description}"):
        return reading.finding.known != _denies(spaced, description)
    condition = description
    if not condition.strip():
        meanings = classify.describe([name, spaced], reading.prompt.instructions)
        condition = next((text for text in meanings.values() if text.strip()), spaced)
    if polarity(name) and not re.search(r"\b(?:false|unless)\b", condition, re.IGNORECASE):
        return True
    return classify.holds(reading.source, condition)


def _denies(name: str, description: str) -> bool:
    """Whether a field is true when the material has no answer.

    The name decides, if it is about finding; otherwise the description of the true case.
    """
    if _FOUND.search(name):
        return _DENIES.search(name) is not None
    cases = {case.casefold(): text for case, text in _CONDITION.findall(description.casefold())}
    if "true" in cases or "false" not in cases:
        return _DENIES.search(cases.get("true", description)) is not None
    return _DENIES.search(cases["false"]) is None


def scale(reading: Reading, description: str, bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the ends of a scale: its bounds, or those in the description or the instructions."""
    if None not in bounds:
        return bounds
    found = _SCALE.search(description) or _SCALE.search(reading.prompt.instructions)
    return (int(found[1]), int(found[2])) if found else (1, 5)


def number(reading: Reading, name: str, description: str, bounds: tuple[Any, Any]) -> float:
    """Return a number; the caller fits it to its bounds."""
    low, high = bounds
    about = f"{name} {description}"
    if reading.candidate and (_SCORE.search(about) or not _SURE.search(about)):
        low, high = scale(reading, description, bounds)
        grade = reading.judgement.grade
        if re.search(r"faithful|support|accura", name, re.IGNORECASE):
            grade = reading.judgement.faithfulness
        elif re.search(r"coverage|complete|recall", name, re.IGNORECASE):
            grade = reading.judgement.coverage
        return float(low + grade * (high - low))
    if _SURE.search(about):
        share = reading.finding.coverage if reading.question else _SURENESS
        return share if high is None or high <= 1 else share * high
    if reading.question or low is not None:
        return float(low or 0)
    found = _AMOUNT.search(texts.plain(reading.source))
    return float(found[0].replace(",", "")) if found else 0.0
