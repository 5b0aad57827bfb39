"""Split a document into units that can be quoted: sentences, list items, table rows, headings.

markdown-it-py reads the markup; see docs/decisions/sandbox-language.md. Code and drawings are left
out. The limits keep the time linear in the length of any text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from workers.sandbox import text as texts

Kind = Literal["sentence", "item", "row", "heading"]

MAX_LINES = 5000
"""Lines that are parsed; of a longer text, windows that are evenly spread."""

MAX_UNITS, MAX_CHARS = 1000, 100_000
"""Units that are read, and their characters; of more, evenly spread ones."""

MAX_MARKS, MAX_LINKS = 40, 8
"""Marks and links that are parsed in a unit. markdown-it-py takes quadratic time on open brackets:
60,000 of `![a` take 12 s. A unit with more marks is no prose; they are removed without parsing."""

MAX_CELLS = 100_000
"""Lines that are parsed, times the columns of a table in them: markdown-it-py fills each row up to
the width of the first one."""

_WINDOW = 50
_BLOCKS = MarkdownIt("commonmark").enable("table").disable(["code", "lheading", "html_block"])
_BLOCKS.core.ruler.disable(["inline", "text_join"])
_INLINE = MarkdownIt("commonmark").enable("strikethrough")
_INLINE.disable(["entity", "html_inline", "autolink"])
_MARKS = re.compile(r"[*_`\[~\\{]")
_REFERENCE = re.compile(r"\[([^\[\]]{1,300})\]\[[^\[\]]{0,80}\]")
_TIMES = re.compile(r"(?<=\w)\*(?=\w)")
"""An asterisk between two letters or digits is no emphasis."""

_ANCHOR = re.compile(r"\[\^[\w-]{1,30}\]|\{#[\w.:/-]{1,80}\}|^\[[ xX]\] |\*\*|__(?=\W|$)")
_WORD = re.compile(r"\w")
_SHORT_LINE = 72
_END = (".", "!", "?", "…", ";", ",", "。", "！", "？", "؟", "।", "۔")  # noqa: RUF001
_SPEAKER = re.compile(r"^[^\W\d_][\w .]{0,30}:[ \t]")
_DRAWN = re.compile(r"[\u2500-\u259f]")
_RULED = re.compile(r"[-=+|_/\\<>^~*]{4,}|[+|][-=]{2,}")
_LONGEST_CODE = 400
"""A line longer than this is read as prose."""

_CODE = re.compile(
    r"""
      @\w[\w.]*(?:\(.*\))?$                                        # a decorator
    | (?:async\s+)?(?:def|class|func|fn|function)\s+\w.*[:{(]$
    | (?:import\s+[\w.*{]+|from\s+[\w.]+\s+import\s.+|\#include\s.+|package\s+[\w.]+;?)$
    | (?:const|let|var|public|private|static)\s.+[;{=(]$
    | (?:if|elif|for|while|with|except)\b[^()\[\]=_.]*[()\[\]=_.].*[:{]$
    | (?:else|try|finally)\s*[:{]$
    | (?:return|raise|yield)\s+[\w.]+\(.*$
    | [\w.\[\]"']+(?::[\w\[\], \t|]+)?\s(?:[-+*/|]?=|:=)\s\S.*(?<![.!?])$   # an assignment
    | [A-Za-z_][\w.]*\([^)]*(?:\)[;,]?)?$                          # a call
    | [\[{(]*\s*["'][\w .-]+["']\s*:\s.*[,\]}"'\[{(\w]$            # a member of an object
    | (?:\$\s[a-z]|>>>\s\S).*                                      # a prompt and a command
    | \}.*$|(?>.*?\w\().*\)\s?[;{]$                                # the end of a block
    | [\[\](){},;:.]+$                                             # brackets
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a document that can be quoted, without its markup."""

    text: str
    kind: Kind


def inline(text: str) -> str:
    """Return the text without emphasis, code marks, links and anchors."""
    marks = len(_MARKS.findall(text))
    if not marks:
        return " ".join(text.split())
    if marks > MAX_MARKS or text.count("[") > MAX_LINKS:
        return " ".join(_MARKS.sub("", text).split())
    text = _REFERENCE.sub(r"\1", _TIMES.sub(r"\\*", text))
    if "](" not in text:
        text = text.replace("[", r"\[")
    # The parser returns one token, a paragraph with its parts as children.
    (paragraph,) = _INLINE.parseInline(text)
    parts = (
        " " if part.type.endswith("break") else part.content for part in paragraph.children or ()
    )
    return " ".join(_ANCHOR.sub("", "".join(parts)).split())


def units(text: str) -> list[Unit]:
    """Return the units in reading order; of a document without prose, its headings or sentences."""
    source = _windows(texts.plain(text.replace("\r\n", "\n").replace("\r", "\n")))
    raw = list(_blocks(_BLOCKS.parse(source), source.split("\n")))
    size = sum(len(unit.text) for unit in raw)
    step = max(1, math.ceil(len(raw) / MAX_UNITS), math.ceil(size / MAX_CHARS))
    found = [Unit(inline(unit.text), unit.kind) for unit in raw[::step]]
    found = [unit for unit in found if _WORD.search(unit.text) or not unit.text.isascii()]
    if any(unit.kind != "heading" for unit in found):
        return found
    rest = (unit.text for unit in found) if found else islice(texts.sentences(source), MAX_UNITS)
    return [Unit(sentence, "sentence") for sentence in rest]


def _windows(text: str) -> str:
    """Return the lines that are parsed, without the marks of tables that are too wide."""
    lines = text.split("\n")
    step = math.ceil(len(lines) / MAX_LINES) * _WINDOW
    starts = range(0, len(lines), step)
    kept = [line for start in starts for line in lines[start : start + _WINDOW]]
    columns = MAX_CELLS // len(kept)
    return "\n".join(line.replace("|", " ") if line.count("|") > columns else line for line in kept)


def _blocks(tokens: list[Token], lines: list[str]) -> Iterator[Unit]:
    inside: list[str] = []
    cells: list[str] = []
    for token in tokens:
        if token.nesting == 1:
            inside.append(token.type)
        elif token.nesting == -1:
            inside.pop()
            if token.type == "tr_close" and cells:
                yield _row(cells)
                cells = []
        elif token.type == "fence" and not _closed(token, lines):
            # A fence that is never closed hides nothing.
            yield from _prose(token.content, "sentence")
        elif token.type == "inline" and inside[-1] == "td_open":
            cells.append(token.content)
        elif token.type == "inline" and inside[-1] == "heading_open":
            yield Unit(token.content, "heading")
        elif token.type == "inline" and inside[-1] != "th_open":
            yield from _prose(token.content, "item" if "list_item_open" in inside else "sentence")


def _closed(fence: Token, lines: list[str]) -> bool:
    first, last = fence.map or (0, 0)
    return last - first > 1 and lines[last - 1].strip(" >").startswith(fence.markup)


def _prose(text: str, kind: Kind) -> Iterator[Unit]:
    """Yield the units of a paragraph; code and drawings end one part of it."""
    part: list[str] = []
    in_code = False
    for line in text.split("\n"):
        in_code = _is_code(line) or (in_code and line[:1] in " \t")
        if not in_code and not _is_drawing(line):
            part.append(line)
        elif part:
            yield from _part(part, kind)
            part = []
    if part:
        yield from _part(part, kind)


def _part(lines: list[str], kind: Kind) -> Iterator[Unit]:
    """Yield the units of lines of prose that belong together."""
    if kind == "sentence" and (
        _is_list(lines) or all("\t" in line or line.lstrip().startswith("|") for line in lines)
    ):
        for line in lines:
            yield _row(re.split(r"[|\t]", line))
    elif kind == "sentence" and len(lines) == 1 and _is_heading(lines[0]):
        yield Unit(lines[0], "heading")
    else:
        for sentence in texts.sentences("\n".join(lines)):
            announces = sentence.endswith((":", "：")) and len(sentence) <= 160  # noqa: PLR2004, RUF001
            yield Unit(sentence, "heading" if announces else kind)


def _row(cells: list[str]) -> Unit:
    first, *rest = [cell.strip() for cell in cells if cell.strip()] or [""]
    return Unit(f"{first}: {', '.join(rest)}" if rest else first, "row")


def _is_code(line: str) -> bool:
    return len(line) <= _LONGEST_CODE and _CODE.match(line.strip()) is not None


def _is_drawing(line: str) -> bool:
    """Whether a line is a rule, a part of a box or an arrow diagram."""
    if _WORD.search(line) is None and line.isascii():
        return True
    if len(line) > _LONGEST_CODE or not (ruled := _RULED.findall(line)):
        return len(line) <= _LONGEST_CODE and _DRAWN.search(line) is not None
    return sum(map(len, ruled)) * 3 > len("".join(line.split()))


def _is_heading(line: str) -> bool:
    """Whether a line between blank lines reads like a title."""
    line = line.strip()
    return len(line) <= 90 and not _SPEAKER.match(line) and not line.endswith(_END)  # noqa: PLR2004


def _is_list(lines: list[str]) -> bool:
    """Whether lines are separate entries, not one wrapped paragraph."""
    if len(lines) < 2 or max(map(len, lines)) > _SHORT_LINE:  # noqa: PLR2004
        return False
    starts = sum(line.lstrip()[:1].isupper() or line.lstrip()[:1].isdigit() for line in lines)
    return starts * 3 >= len(lines) * 2 and not any(
        line.rstrip().endswith((".", "!", "?", ",", ";")) for line in lines
    )
