"""A reader of the YAML that workflows of this repository use.

It reads blocks of mappings and lists, texts on one line, and texts after `|`. Every scalar stays a
text. It refuses the rest of YAML, so that a file that it reads has one meaning.
"""

from __future__ import annotations

import re
from typing import Any, Final

KEY: Final = re.compile(r"(?P<key>[A-Za-z_][\w.-]*):(?: (?P<value>\S.*))?")
PLAIN: Final = re.compile(r"[\w.$~/][^\t]*")
QUOTED: Final = re.compile(r'"(?P<text>[^"\\]*)"')
LITERAL: Final = "|"


class YamlError(ValueError):
    """The text is no YAML, or more of it than this module reads."""


def read(text: str) -> Any:
    """Return the value of a document. Raises YamlError."""
    lines = text.splitlines()
    start = _next(lines, 0)
    value, end = _block(lines, start, _indent(lines, start))
    if end < len(lines):
        raise YamlError(f"line {end + 1}: unexpected indentation")
    return value


def _next(lines: list[str], at: int) -> int:
    """Return the place of the next line that is neither empty nor a comment."""
    while at < len(lines) and (not lines[at].strip() or lines[at].lstrip().startswith("#")):
        at += 1
    return at


def _indent(lines: list[str], at: int) -> int:
    """Return the number of spaces before a line; -1 after the last line."""
    return len(lines[at]) - len(lines[at].lstrip(" ")) if at < len(lines) else -1


def _block(lines: list[str], at: int, indent: int) -> tuple[Any, int]:
    """Return the mapping or the list that begins at a line, and the place after it."""
    if at < len(lines) and lines[at][indent:].startswith("- "):
        return _list(lines, at, indent)
    return _mapping(lines, at, indent)


def _list(lines: list[str], at: int, indent: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while _indent(lines, at) == indent and lines[at][indent:].startswith("- "):
        item = lines[at][indent + 2 :]
        if KEY.fullmatch(item):
            lines[at] = f"{' ' * (indent + 2)}{item}"
            mapping, at = _mapping(lines, at, indent + 2)
            found.append(mapping)
        else:
            found.append(_scalar(item, at))
            at = _next(lines, at + 1)
    return found, at


def _mapping(lines: list[str], at: int, indent: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while _indent(lines, at) == indent:
        match = KEY.fullmatch(lines[at][indent:])
        if match is None or match["key"] in found:
            raise YamlError(f"line {at + 1}: no key, or one that is there already")
        key, value = match["key"], match["value"]
        if value == LITERAL:
            found[key], at = _literal(lines, at + 1, indent)
        elif value:
            found[key], at = _scalar(value, at), _next(lines, at + 1)
        else:
            below = _next(lines, at + 1)
            if _indent(lines, below) <= indent:
                raise YamlError(f"line {at + 1}: {key} has no value")
            found[key], at = _block(lines, below, _indent(lines, below))
    return found, at


def _literal(lines: list[str], at: int, indent: int) -> tuple[str, int]:
    start, depth = at, _indent(lines, at)
    while at < len(lines) and (not lines[at].strip() or _indent(lines, at) > indent):
        at += 1
    return "".join(f"{line[depth:]}\n" for line in lines[start:at]), _next(lines, at)


def _scalar(text: str, at: int) -> str:
    if match := QUOTED.fullmatch(text):
        return match["text"]
    if not PLAIN.fullmatch(text) or ": " in text or " #" in text or text.endswith((":", " ")):
        raise YamlError(f"line {at + 1}: quote {text!r}")
    return text
