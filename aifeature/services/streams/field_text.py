"""An incremental reader for one text field of a JSON object that is still being written."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Final

_PLAIN: Final = re.compile(r'[^"\\]+')
_SPACE: Final = re.compile(r"[ \t\n\r]+")
_NEITHER_TEXT_NOR_BRACKET: Final = re.compile(r'[^"{}\[\],]+')
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_BROKEN: Final = "\ufffd"
_HIGH: Final = range(0xD800, 0xDC00)
_LOW: Final = range(0xDC00, 0xE000)
"""UTF-16 code units: the first and the second half of a surrogate pair."""

Sink = Callable[[str], object]


class FieldText:
    """Decodes the text of one top-level field.

    Never raises: input that is not a JSON object yields no text, and the complete answer is
    validated elsewhere. Half a surrogate pair becomes U+FFFD. Each character is read once, because
    parsing the whole answer again for each piece would take quadratic time.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._buffer = ""
        self._at = 0
        self._found: list[str] = []
        self._parser = self._object()
        self._ended = False

    def feed(self, piece: str) -> str:
        """Return the text of the field in this piece of the answer; often empty."""
        if self._ended:
            return ""
        self._buffer = self._buffer[self._at :] + piece
        self._at = 0
        self._found.clear()
        # The parser pauses when it needs more input, and returns when no more text can follow.
        self._ended = next(self._parser, self) is self
        return "".join(self._found)

    def _object(self) -> Generator[None]:
        if (yield from self._next_char()) != "{":
            return
        while True:
            char = yield from self._next_char()
            if char == ",":
                continue
            if char != '"':
                return
            name: list[str] = []
            yield from self._string(name.append)
            if (yield from self._next_char()) != ":":
                return
            if "".join(name) == self._field:
                if (yield from self._next_char()) == '"':
                    yield from self._string(self._found.append)
                return
            yield from self._other_value()

    def _other_value(self) -> Generator[None]:
        """Skip the value of another field, up to the next comma or bracket."""
        depth = 0
        while True:
            char = yield from self._peek()
            if run := _NEITHER_TEXT_NOR_BRACKET.match(self._buffer, self._at):
                self._at = run.end()
                continue
            if depth == 0 and char in ",]}":
                return
            self._at += 1
            if char == '"':
                yield from self._string(len)
            elif char in "{[":
                depth += 1
            elif char in "]}":
                depth -= 1

    def _string(self, sink: Sink) -> Generator[None]:
        """Read the rest of a string after its opening quote."""
        while True:
            char = yield from self._peek()
            if run := _PLAIN.match(self._buffer, self._at):
                self._at = run.end()
                sink(run[0])
                continue
            self._at += 1
            if char == '"':
                return
            yield from self._escape(sink)

    def _escape(self, sink: Sink) -> Generator[None]:
        kind = yield from self._take(1)
        if kind != "u":
            sink(_ESCAPED.get(kind, kind))
            return
        unit = yield from self._code_unit()
        while unit in _HIGH:
            if (yield from self._peek()) != "\\" or (yield from self._peek(2)) != "\\u":
                break
            self._at += 2
            second = yield from self._code_unit()
            if second in _LOW:
                sink(chr(0x10000 + ((unit - _HIGH[0]) << 10) + (second - _LOW[0])))
                return
            sink(_BROKEN)
            unit = second
        sink(_BROKEN if unit in _HIGH or unit in _LOW else chr(unit))

    def _code_unit(self) -> Generator[None, None, int]:
        digits = yield from self._take(4)
        try:
            return int(digits, 16)
        except ValueError:
            return ord(_BROKEN)

    def _next_char(self) -> Generator[None, None, str]:
        """Skip whitespace and take the next character."""
        while True:
            char = yield from self._peek()
            if run := _SPACE.match(self._buffer, self._at):
                self._at = run.end()
                continue
            self._at += 1
            return char

    def _take(self, count: int) -> Generator[None, None, str]:
        taken = yield from self._peek(count)
        self._at += count
        return taken

    def _peek(self, count: int = 1) -> Generator[None, None, str]:
        while len(self._buffer) - self._at < count:
            yield
        return self._buffer[self._at : self._at + count]
