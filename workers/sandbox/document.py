"""A document taken apart into the units a reader would quote: sentences, list items, table rows.

Code and drawings are left out; headings are no sentences, but tell what a document is about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from workers.sandbox import lines as line
from workers.sandbox import text as texts

Kind = Literal["sentence", "item", "row", "heading"]

_INLINE = (
    (re.compile(r"!\[([^\[\]\n]{0,300})\]\([^()\s]{0,500}[^()\n]{0,100}\)"), r"\1"),
    (re.compile(r"\[([^\[\]\n]{1,300})\]\([^()\s]{0,500}[^()\n]{0,100}\)"), r"\1"),
    (re.compile(r"\[([^\[\]\n]{1,300})\]\[[^\[\]\n]{0,80}\]"), r"\1"),
    (re.compile(r"\[\^[\w-]{1,30}\]|\{#[\w.:/-]{1,80}\}"), ""),
    (re.compile(r"`{1,3}([^`\n]{1,300})`{1,3}"), r"\1"),
    (re.compile(r"(\*{2,3})(?=\S)([^*\n]{1,500}?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]{1,500}?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)(_{1,3})(?=\S)([^_\n]{1,500}?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"~~(?=\S)([^~\n]{1,500}?)~~"), r"\1"),
    (re.compile(r"\*\*|__(?=\W|$)"), ""),
)  # fmt: skip
_SEVERAL = re.compile(r"[\n.!?…؟۔।。！？]")  # noqa: RUF001
"""Without any of these a block is one sentence."""

_SHORT_LINE = 72


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a document that can be quoted on its own, without its markup."""

    text: str
    kind: Kind


def inline(text: str) -> str:
    """The text without emphasis, code marks, links and anchors."""
    if any(mark in text for mark in "*_`[~{"):
        for pattern, kept in _INLINE:
            text = pattern.sub(kept, text)
    return text


def units(text: str) -> list[Unit]:
    """The units of a document in reading order; of one without any words, its sentences."""
    reader = _Reader()
    for current in _unfenced(texts.newlines(text)):
        reader.take(current)
    reader.end()
    if any(unit.kind != "heading" for unit in reader.found):
        return reader.found
    if reader.found:
        return [Unit(unit.text, "sentence") for unit in reader.found]
    return [Unit(sentence, "sentence") for sentence in texts.sentences(texts.plain(text))]


def _unfenced(text: str) -> list[str]:
    """The lines outside code fences; a fence that is never closed hides nothing."""
    whole = text.split("\n")
    if "```" not in text and "~~~" not in text:
        return texts.plain(text).split("\n")
    kept: list[str] = []
    held: list[str] = []
    mark = ""
    for current in whole:
        fence = line.FENCE.match(current)
        if mark:
            if fence and fence[1].startswith(mark):
                mark, held = "", []
            else:
                held.append(current)
        elif fence and current.count("```") < 2:  # noqa: PLR2004 - both marks: inline code
            mark = fence[1]
            kept.append("")
        else:
            kept.append(current)
    return texts.plain("\n".join(kept + held)).split("\n")


class _Reader:
    """Collects lines into blocks, and blocks into units."""

    def __init__(self) -> None:
        self.found: list[Unit] = []
        self._block: list[str] = []
        self._is_item = False
        self._in_code = False
        self._in_table = False

    def take(self, current: str) -> None:
        """The next line."""
        if not current.strip():
            self.end()
            return
        if self._is_noise(current):
            self.end()
            return
        self._in_code = False
        if line.is_row(current):
            self._row(current)
            return
        heading = line.HEADING.match(current)
        item = line.ITEM.match(current)
        if heading or item:
            self.end()
        if heading:
            self._add(heading[1], "heading")
        elif item:
            self._is_item = True
            self._block.append(current[item.end() :])
        else:
            self._block.append(current)

    def end(self) -> None:
        """The block is complete."""
        block, is_item = self._block, self._is_item
        self._block, self._is_item, self._in_table = [], False, False
        if not block:
            return
        if is_item:
            self._sentences("\n".join(block), "item")
        elif len(block) == 1 and (line.is_heading(block[0]) or line.is_lead_in(block[0])):
            self._add(block[0], "heading")
        elif _is_list(block):
            for row in block:
                self._add(row, "row")
        else:
            self._sentences("\n".join(block), "sentence")

    def _is_noise(self, current: str) -> bool:
        """Whether the line is code, part of a drawing, or a rule under a title."""
        if self._in_code and current[0] in " \t" and not line.ITEM.match(current):
            return True
        if line.is_code(current):
            self._in_code = True
            return True
        if line.is_row(current) and not line.is_drawing(current):
            return False
        if line.UNDERLINE.match(current) and len(self._block) == 1 and not self._is_item:
            self._add(self._block.pop(), "heading")
            return True
        return line.is_drawing(current) or _is_rule(current)

    def _row(self, current: str) -> None:
        if not self._in_table:
            self.end()
            self._in_table = True
        if line.TABLE_RULE.match(current):
            if self.found and self.found[-1].kind == "row":
                # What stands above the rule names the columns: it is no content.
                self.found.pop()
            return
        first, *rest = line.cells(current) or [""]
        self._add(f"{first}: {', '.join(rest)}" if rest else first, "row")

    def _sentences(self, text: str, kind: Kind) -> None:
        several = _SEVERAL.search(text) is not None
        for sentence in texts.sentences(inline(text)) if several else [text]:
            self._add(sentence, "heading" if line.is_lead_in(sentence) else kind)

    def _add(self, text: str, kind: Kind) -> None:
        clean = " ".join(inline(text).split())
        if not line.is_wordless(clean):
            self.found.append(Unit(clean, kind))


def _is_rule(current: str) -> bool:
    """Whether a wordless line is only punctuation; emoji and other signs are content."""
    return line.is_wordless(current) and current.isascii()


def _is_list(block: list[str]) -> bool:
    """Whether lines are entries of their own, not one paragraph wrapped."""
    if len(block) < 2 or max(map(len, block)) > _SHORT_LINE:  # noqa: PLR2004
        return False
    starts = sum(1 for row in block if row.lstrip()[:1].isupper() or row.lstrip()[:1].isdigit())
    ends = sum(1 for row in block if row.rstrip().endswith((".", "!", "?", ",", ";")))
    return starts * 3 >= len(block) * 2 and ends == 0
