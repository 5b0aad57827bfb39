"""Decodes entities, escapes and percent codes in text, and takes tags out."""

from __future__ import annotations

import html
import re
from typing import Final, NamedTuple

_MOST_LEVELS: Final = 3
"""A code may itself be coded, as in `&amp;#64;`."""
_TRIGGERS: Final = ("&", "%", "<", "\\", "=\n")
_CODED: Final = re.compile(
    r"&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,12}(?=;));?"
    r"|(?:%[0-9a-fA-F]{2}){1,400}+"
    r"|<!--.{0,200}?-->|</?[A-Za-z][A-Za-z0-9-]{0,20}(?:\s[^<>]{0,300})?/?>"
    r"|\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[!-/:-@\[-`{-~])"
    r"|=\n"
)
_ESCAPED: Final = 2
"""Characters of a backslash and a sign."""
_NAME: Final = re.compile("[a-z0-9]+")
_INLINE: Final = frozenset(
    [
        "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i",
        "ins", "kbd", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "tt",
        "u", "var", "wbr",
    ]
)  # fmt: skip
"""Tags within a word. The others part two values, and `br` parts two lines."""

PARTED: Final = "\1"
"""Replaces a tag between two values: no pattern matches it."""


class Decoded(NamedTuple):
    """A decoded text. The character at place i comes from original[starts[i]:ends[i]]."""

    text: str
    starts: list[int]
    ends: list[int]

    def cut(self) -> set[int]:
        """Return the places inside of the codes of characters."""
        return {
            place
            for start, end, meant in zip(self.starts, self.ends, self.text, strict=True)
            if end > start + 1 and meant != PARTED
            for place in range(start + 1, end)
        }


def decoded(text: str) -> Decoded | None:
    """Return a text with its codes decoded, None if it holds none."""
    result = None
    for _ in range(_MOST_LEVELS):
        if not any(trigger in text for trigger in _TRIGGERS):
            break
        level = _level(text)
        if level is None:
            break
        result = _composed(result, level) if result else level
        text = level.text
    return result


def _composed(first: Decoded, second: Decoded) -> Decoded:
    return Decoded(
        second.text,
        [first.starts[start] for start in second.starts],
        [first.ends[end - 1] for end in second.ends],
    )


def _level(text: str) -> Decoded | None:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    end = 0
    for code in _CODED.finditer(text):
        meant = _meaning(code[0])
        if meant is None:
            continue
        start = code.start()
        parts.append(text[end:start])
        starts += range(end, start)
        ends += range(end + 1, start + 1)
        end = start
        for character, size in meant:
            parts.append(character)
            starts.append(end)
            end += size
            ends.append(end)
        end = code.end()
    if not parts:
        return None
    parts.append(text[end:])
    starts += range(end, len(text))
    ends += range(end + 1, len(text) + 1)
    return Decoded("".join(parts), starts, ends)


def _meaning(code: str) -> list[tuple[str, int]] | None:
    """Return the characters that a code means, with their sizes in it."""
    size = len(code)
    if code[0] == "&":
        meant = html.unescape(code if code.endswith(";") else f"{code};")
        return [(meant, size)] if len(meant) == 1 else None
    if code[0] == "%":
        return _percent(code)
    if code[0] == "\\":
        return [(code[1] if size == _ESCAPED else chr(int(code[2:], 16)), size)]  # noqa: FURB166
    if code[:2] in {"=\n", "<!"}:
        return []
    found = _NAME.search(code.lower())
    name = found[0] if found else ""
    if name in _INLINE:
        return []
    return [("\n" if name == "br" else PARTED, size)]


def _percent(code: str) -> list[tuple[str, int]] | None:
    try:
        text = bytes.fromhex(code.replace("%", "")).decode()
    except UnicodeDecodeError:
        return None
    return [(character, 3 * len(character.encode())) for character in text]
