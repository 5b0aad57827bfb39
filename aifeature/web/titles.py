"""A job's title in a list: the start of the text that its user sent."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any, Final

from django.db.models import Case, F, Func, TextField, Value, When
from django.db.models.expressions import Combinable

from aifeature import registry
from aifeature.spec import Feature
from aifeature.web import schema

LONGEST: Final = 90
"""Maximum characters of a title."""

READ: Final = 400
"""Characters of the text that are read for a title. A document may begin with much white space."""

_MARKS: Final = re.compile(r"^[\s#>*_=~`|-]+")
"""Characters before the first word of a heading or quote in Markdown."""

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Co", "Cs"})
"""Categories of invisible characters, and of those that change the text direction."""

_JOINERS: Final = "\u200c\u200d"
"""Invisible characters that are part of words in some languages and of some emoji."""

_LONGEST_TEXT: Final = (
    "(SELECT v #>> '{}' FROM jsonb_path_query(%(expressions)s,"
    """ '$.** ? (@.type() == "string")') v ORDER BY length(v #>> '{}') DESC LIMIT 1)"""
)
_TRIMMED: Final = "nullif(btrim(%(expressions)s, E' \\n\\r\\t'), '')"


def shortened(text: str) -> str:
    """Return the text as a title: one line of at most `LONGEST` characters, possibly empty.

    Removes the marks of a heading and invisible characters.
    """
    shown = "".join(c for c in text if c.isspace() or c in _JOINERS or _is_visible(c))
    line = " ".join(_MARKS.sub("", shown).split())
    if not any(map(_is_visible, line)):
        return ""
    if len(line) <= LONGEST:
        return line
    cut = line[: LONGEST - 1]
    words, space, _ = cut.rpartition(" ")
    return (words if space and len(words) > LONGEST // 2 else cut).rstrip(" ,;:.-") + "…"


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in _INVISIBLE


def content() -> Combinable:
    """Return an expression for the start of a job's text, NULL after it is deleted.

    The text is the first free text of the feature's form, else the longest text of the input.
    """
    fields = {feature.slug: field_of(feature) for feature in registry.all_features().values()}
    texts = [_text(F("input"), template=_LONGEST_TEXT)]
    if cases := [When(feature=slug, then=_value(name)) for slug, name in fields.items() if name]:
        texts.insert(0, _text(Case(*cases, default=None), template=_TRIMMED))
    # SQL's `coalesce` also takes one argument. Django's Coalesce needs two.
    return _text(_text(*texts, function="coalesce"), Value(READ), function="left")


@cache
def field_of(feature: Feature) -> str | None:
    """Return the input field whose text is a job's title: the first required free text.

    Without a required one, the first free text; None if the form has no free text.
    """
    root = feature.input_model.model_json_schema()
    required = root.get("required", ())
    texts = []
    for name, found in root.get("properties", {}).items():
        value, _ = schema.without_null(found, root)
        is_text = value.get("type") == "string" and schema.choices(value) is None
        if is_text and value.get("format") in {None, "textarea"}:
            texts.append(name)
    return next((name for name in texts if name in required), next(iter(texts), None))


def _value(field: str) -> Combinable:
    return _text(F("input"), Value(field), template="(%(expressions)s)", arg_joiner=" ->> ")


def _text(*expressions: Any, **how: Any) -> Combinable:
    return Func(*expressions, output_field=TextField(), **how)
