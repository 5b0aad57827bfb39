"""Split a document into units that can be quoted: sentences, list items, table rows, headings.

pyromark reads the markup in linear time; see docs/decisions/sandbox-language.md. Code is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import pyromark

from workers.sandbox import text as texts

Kind = Literal["sentence", "item", "row", "heading"]

MAX_UNITS, MAX_CHARS = 1000, 100_000
"""Units that are read, and their characters; of more, evenly spread ones."""

_OPTIONS = pyromark.Options.ENABLE_TABLES | pyromark.Options.ENABLE_STRIKETHROUGH
_INLINE = {"Emphasis", "Strong", "Strikethrough", "Link", "Image"}
_ANCHOR = re.compile(r"\[\^[\w-]{1,30}\]|\{#[\w.:/-]{1,80}\}|^\[[ xX]\] |\*\*|__(?=\W|$)")
_REFERENCE = re.compile(r"\[([^\[\]]{1,300})\]\[[^\[\]]{0,80}\]")
_TIMES = re.compile(r"\*(?<=\w\*)(?=\w)")
"""An asterisk between two letters or digits is no emphasis."""

_WORD = re.compile(r"\w")
_TAGS = re.compile(r"(?:\W{0,9}<\W{0,3}[a-z][^<>]{0,300}>)+\W*", re.IGNORECASE)
"""Markup without words. Escaped, it is still in a text after `plain`."""

_TITLE = re.compile(r"(?![^\W\d_][\w .]{0,30}:[ \t])[^\n]{1,90}(?<![.!?…:;,。！：？؟।۔])")  # noqa: RUF001
"""A paragraph of one line that reads like a title."""

_ANNOUNCES = re.compile(r".{1,160}[:：]", re.DOTALL)  # noqa: RUF001
_COLONS = (":", "：")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a document that can be quoted, without its markup."""

    text: str
    kind: Kind


def units(text: str) -> list[Unit]:
    """Return the units in reading order; of a document without prose, its headings or sentences."""
    source = texts.plain(text.replace("\r\n", "\n").replace("\r", "\n"))
    blocks = list(_blocks(source))
    found = [unit for block in blocks[:: 1 + len(blocks) // MAX_UNITS] for unit in _units(block)]
    found = [unit for unit in found if _WORD.search(unit.text) or not unit.text.isascii()]
    found = [unit for unit in found if "<" not in unit.text or not _TAGS.fullmatch(unit.text)]
    size = sum(len(unit.text) for unit in found)
    found = found[:: 1 + max(len(found) // MAX_UNITS, size // MAX_CHARS)]
    if any(unit.kind != "heading" for unit in found):
        return found
    rest = (unit.text for unit in found) if found else islice(texts.sentences(source), MAX_UNITS)
    return [Unit(sentence, "sentence") for sentence in rest]


def passages(text: str) -> list[tuple[str, ...]]:
    """Return what can be quoted alone: a unit, or a sentence that announces a list with its items.

    The items without their announcement would mislead, and the announcement alone states nothing.
    """
    found: list[list[Unit]] = []
    for unit in units(text):
        if found and unit.kind in ("item", "row") and found[-1][0].text.endswith(_COLONS):
            found[-1].append(unit)
        else:
            found.append([unit])
    whole = (parts for parts in found if len(parts) > 1 or parts[0].kind != "heading")
    return [tuple(unit.text for unit in parts) for parts in whole]


def _units(block: Unit) -> Iterator[Unit]:
    if block.kind == "row" or (block.kind == "heading" and "\n" not in block.text):
        yield block
    elif block.kind == "sentence" and _TITLE.fullmatch(block.text):
        yield Unit(block.text, "heading")
    else:
        kind: Kind = "item" if block.kind == "item" else "sentence"
        for sentence in texts.sentences(block.text[:MAX_CHARS]):
            yield Unit(sentence, "heading" if _ANNOUNCES.fullmatch(sentence) else kind)


def _blocks(source: str) -> Iterator[Unit]:
    """Yield paragraphs, items, headings and rows without their marks."""
    marked = _REFERENCE.sub(r"\1", _TIMES.sub(r"\\*", source))
    cells: list[str] = []
    code = ""
    for block, text, is_item in _pieces(marked):
        code = text if block == "CodeBlock" else ""
        if block == "TableCell":
            cells.append(text)
        elif block in ("TableHead", "TableRow"):
            if block == "TableRow" and any(cells):
                yield _row(cells)
            cells.clear()
        elif text and not code:
            kind: Kind = "item" if is_item else "sentence"
            yield Unit(text, "heading" if block == "Heading" else kind)
    if code and not marked.rstrip().endswith(("```", "~~~")):
        # A fence that is never closed hides nothing.
        yield Unit(code, "sentence")


def _pieces(marked: str) -> Iterator[tuple[str, str, bool]]:
    """Yield a block's name, its text up to here, and whether it is in a list."""
    parts: list[str] = []
    inside = [""]
    events: Any = pyromark.events(marked, options=_OPTIONS)
    for event in events:  # this loop has most of the time
        if isinstance(event, str):  # a rule or a break
            if event in ("SoftBreak", "HardBreak"):
                parts.append("\n")
            continue
        ((name, value),) = event.items()
        if name in ("Text", "Code"):
            parts.append(value)
        elif name in ("Start", "End"):
            tag = value if isinstance(value, str) else next(iter(value))
            if tag in _INLINE:
                continue
            text = _ANCHOR.sub("", "".join(parts)).strip() if parts else ""
            parts.clear()
            if text or name == "End":
                yield inside[-1], text, "Item" in inside
            if name == "Start":
                inside.append(tag)
            else:
                inside.pop()


def _row(cells: list[str]) -> Unit:
    first, *rest = [" ".join(cell.split()) for cell in cells if cell]
    return Unit(f"{first}: {', '.join(rest)}" if rest else first, "row")
