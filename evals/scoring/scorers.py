"""The scorers that need no model. Each yields its part of a case's score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from aifeature.spec import Feature
from aifeature.suites import Case, Keywords, Length
from evals.scoring import language, sentences, texts

FREE_UP_TO: Final = 12
"""Highest figure that may be in no source, since sources often have it as a word."""

THOUSANDS: Final = 3
"""Digits in each group of a number, after its first one."""

UNREADABLE: Final = "the output has no text"


@dataclass(frozen=True, slots=True)
class Part:
    """The result of one scorer."""

    scorer: str
    passed: bool
    note: str = ""
    """The fault in a few words; empty if there is none."""

    def as_json(self) -> dict[str, Any]:
        return {"scorer": self.scorer, "passed": self.passed, "note": self.note}


def score(feature: Feature, case: Case, output: dict[str, Any]) -> list[Part]:
    """Return the parts of a case's score, without the judge's. It passes if all of them pass.

    `output` is the answer as JSON values, as users get it.
    """
    suite = feature.suite
    fields = suite.text if suite else ()
    found = [texts.readable(text) for text in texts.pieces(output, fields)]
    main = found[0] if found else ""
    expected = case.expected
    schema = _schema(feature, output)
    parts = [schema]
    parts += [_exact(name, value, output) for name, value in expected.exact.items()]
    if expected.keywords is not None:
        parts.append(_keywords(expected.keywords, "\n".join(found)))
    if expected.citations is not None:
        parts.append(_citations(expected.citations, feature, output))
    if expected.language is not None:
        parts.append(_language(expected.language, main))
    if expected.length is not None:
        parts.append(_length(expected.length, main, expected.language or ""))
    if expected.figures is not None:
        parts.append(
            _figures(
                expected.figures,
                [*texts.pieces(case.input, ()), *_cited(feature, output)],
                "\n".join(found),
            )
        )
    for name, value in expected.custom.items():
        if schema.passed:
            parts.append(_custom(feature, name, value, case, output))
        else:
            parts.append(Part(f"custom.{name}", False, "the output does not fit its schema"))
    return parts


def _schema(feature: Feature, output: dict[str, Any]) -> Part:
    try:
        feature.output_model.model_validate_json(json.dumps(output))
    except ValidationError as error:
        return Part("schema", False, f"{error.error_count()} fields do not fit")
    return Part("schema", True)


def _exact(name: str, value: Any, output: dict[str, Any]) -> Part:
    right = value if isinstance(value, list) else [value]
    given = output.get(name)
    note = "" if given in right else f"{given!r} instead of {' or '.join(map(repr, right))}"
    return Part(f"exact.{name}", not note, note)


def _keywords(keywords: Keywords, text: str) -> Part:
    note = "; ".join(_missed(keywords, text)) if text.strip() else UNREADABLE
    return Part("keywords", not note, note)


def _missed(keywords: Keywords, text: str) -> Iterator[str]:
    for entry in keywords.all:
        alternatives = (entry,) if isinstance(entry, str) else entry
        if not any(texts.holds(text, each) for each in alternatives):
            yield f"lacks {' or '.join(alternatives)}"
    if keywords.any and not any(texts.holds(text, each) for each in keywords.any):
        yield f"has none of {', '.join(keywords.any)}"
    for entry in keywords.none:
        if texts.holds(text, entry):
            yield f"has {entry}"


def _citations(expected: Any, feature: Feature, output: dict[str, Any]) -> Part:
    field = feature.citation_field
    cited = {each.get("section") for each in output.get(field or "") or ()}
    missing = [section for section in expected.all if section not in cited]
    notes = [f"does not cite {section}" for section in missing]
    if expected.any and not cited & set(expected.any):
        notes.append(f"cites none of {', '.join(expected.any)}")
    return Part("citations", not notes, "; ".join(notes))


def _language(expected: str, text: str) -> Part:
    if not text:
        return Part("language", False, UNREADABLE)
    found = language.other_than(expected, text)
    return Part("language", not found, f"{found} instead of {expected}" if found else "")


def _length(expected: Length, text: str, code: str) -> Part:
    if not text:
        return Part("length", False, UNREADABLE)
    count = sentences.count(text, code)
    words = len(text.split())
    notes = []
    if expected.min_sentences is not None and count < expected.min_sentences:
        notes.append(f"{count} sentences, at least {expected.min_sentences}")
    if expected.max_sentences is not None and count > expected.max_sentences:
        notes.append(f"{count} sentences, at most {expected.max_sentences}")
    if expected.max_words is not None and words > expected.max_words:
        notes.append(f"{words} words, at most {expected.max_words}")
    return Part("length", not notes, "; ".join(notes))


def _cited(feature: Feature, output: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of the sections that an output cites."""
    sources = feature.sources() if feature.sources else {}
    for citation in output.get(feature.citation_field or "") or ():
        if source := sources.get(citation.get("section")):
            yield source.text


def _figures(further: tuple[str, ...], backing: list[str], text: str) -> Part:
    given = texts.figures("\n".join(backing))
    known = {"".join(groups) for groups in given} | {part for groups in given for part in groups}
    odd = [groups for groups in texts.figures(text) if not _is_backed(groups, known.union(further))]
    note = f"{', '.join(map('.'.join, odd))}: in no source" if odd else ""
    return Part("figures", not note, note)


def _is_backed(groups: tuple[str, ...], known: AbstractSet[str]) -> bool:
    """Return whether a source has a figure, or each part of a date, a time or a decimal."""
    if "".join(groups) in known:
        return True
    if len(groups) > 1 and all(len(group) == THOUSANDS for group in groups[1:]):
        return False  # one number, such as 12,000
    return all(part in known or int(part) <= FREE_UP_TO for part in groups)


def _custom(feature: Feature, name: str, value: Any, case: Case, output: dict[str, Any]) -> Part:
    functions = feature.suite.functions if feature.suite else {}
    try:
        note = functions[name](
            feature.input_model.model_validate(case.input),
            feature.output_model.model_validate_json(json.dumps(output)),
            value,
        )
    except Exception as error:
        raise ScorerError(f"{name} of {feature.slug} raised {type(error).__name__}") from error
    if not isinstance(note, str):  # such as False, from which nothing could be concluded
        raise ScorerError(f"{name} of {feature.slug} returned no text but {type(note).__name__}")
    return Part(f"custom.{name}", not note, note)


class ScorerError(Exception):
    """A scorer failed: the case is unscored, neither passed nor failed."""
