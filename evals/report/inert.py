"""Texts in Markdown that no forge makes active: no link, no image, no mention, no markup.

Forges turn more than Markdown into links: addresses, `@name`, `#12`, `!12`, hashes of commits and
the numbers of other trackers, also if they are written as entities. All of them leave code alone.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import Final

LONGEST: Final = 300
"""Characters of a text that is shown."""

INSTEAD: Final = {"`": "\u02cb", "|": "\u00a6"}
"""Replacements of the characters that end a span of code, or a cell of a table."""

MARKS: Final = ".,;:!?"

QUIET: Final = re.compile(
    r"\(?(?:[^\W\d_]+(?:['-][^\W\d_]+)*|[+-]?\d[\d.,]*%?(?:-[^\W\d_]+)?|v\d{1,4}|[=<])\)?[.,:;!?]*"
)
"""A word or a number, with the marks of a sentence. Forges leave it alone."""

LOUD: Final = re.compile(r"www\.|\b[0-9a-f]{7,}\b", re.IGNORECASE)
"""Words that are links all the same: sites, and hashes of commits."""


def code(text: str) -> str:
    """Return any text as a span of code, which fits in a cell of a table."""
    found = _one_line(text)
    return f"`{found}`" if found else ""


def sentence(text: str) -> str:
    """Return a text as a sentence, in which all but words and numbers is code."""
    tokens = _one_line(text).split(" ")
    is_sentence = bool(re.match(r"[^\W\d_]", tokens[0]))
    groups = groupby(tokens, key=lambda token: _is_quiet(token) and is_sentence)
    return " ".join(
        " ".join(group) if is_quiet else _spans(" ".join(group)) for is_quiet, group in groups
    )


def _spans(text: str) -> str:
    """Return a text of one line as code, and the marks of a sentence at its end after it."""
    marked = text.rstrip(MARKS)
    return f"`{marked}`{text[len(marked) :]}" if marked else code(text)


def _is_quiet(token: str) -> bool:
    return QUIET.fullmatch(token) is not None and LOUD.search(token) is None


def _one_line(text: str) -> str:
    """Return the beginning of a text on one line, without characters that are not visible."""
    visible = "".join(_visible(each) for each in text[: 2 * LONGEST])
    found = " ".join(visible.split())
    return found if len(found) <= LONGEST else f"{found[: LONGEST - 1]}…"


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character)[0] == "C":
        return "\ufffd"
    return INSTEAD.get(character, character)
