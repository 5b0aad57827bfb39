"""Texts hidden in base64, hex, URL encoding, entities, escapes or binary, decoded one level."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

_BASE64: Final = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]{16,}){0,400}={0,2}"
)
_BASE32: Final = re.compile(r"\b[A-Z2-7]{24,}={0,6}")
_HEX: Final = re.compile(r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:;]{0,2}){10,}")
_URL: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_ENTITY: Final = re.compile(r"&(?:#\d{2,7}|#[xX][0-9A-Fa-f]{2,6}|[a-z]{2,6});")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
_BINARY: Final = re.compile(r"(?<!\w)(?:[01]{8}[ ,]{0,2}){6,}")
_DECIMAL: Final = re.compile(r"(?<!\d)(?:\d{2,3}[ ,]{1,2}){9,}\d{2,3}(?!\d)")
_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{4,}")
_NOT_HEX: Final = re.compile(r"0x|\\x|[ ,:;]")
_FEWEST: Final = 4
"""Escapes from which a text counts as encoded."""
_MOST: Final = 200
"""Most runs decoded in a text."""
_SHORTEST: Final = 8
"""Characters, and digits of a text in numbers, from which it is read."""
_RUN: Final = 16
"""Characters from which a run may be base64 or base32."""
_BLANK: Final = 32
"""Code of the first character that is not a control character."""


def decoded(text: str) -> Iterator[str]:
    """Yield each readable text that is encoded in the text."""
    for count, found in enumerate(_all(text)):
        if count >= _MOST:
            return
        if len(found) >= _SHORTEST and _is_readable(found):
            yield found


def _all(text: str) -> Iterator[str]:
    if max(map(len, text.split()), default=0) >= _RUN:
        yield from _runs(text)
    if sum(map(text.count, "0123456789")) >= _SHORTEST:
        yield from _numbers(text)
    if not text.isascii():
        for match in _TAGS.finditer(text):
            yield "".join(chr(ord(character) - 0xE0000) for character in match[0])
    for mark, escape, decode in _ESCAPES:
        if mark in text:
            words = " ".join(word for word in text.split() if mark in word)
            if len(escape.findall(words)) >= _FEWEST:
                yield decode(words)


def _numbers(text: str) -> Iterator[str]:
    for match in _HEX.finditer(text):
        digits = _NOT_HEX.sub("", match[0])
        yield _text(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    for match in _BINARY.finditer(text):
        yield "".join(chr(int(byte, 2)) for byte in re.findall("[01]{8}", match[0]))
    for match in _DECIMAL.finditer(text):
        codes = [int(code) for code in re.findall(r"\d+", match[0])]
        yield "".join(chr(code) for code in codes if code >= _BLANK)


def _runs(text: str) -> Iterator[str]:
    for match in _BASE64.finditer(text):
        yield _base64(match[0])
    for match in _BASE32.finditer(text):
        run = match[0].rstrip("=")
        try:
            yield _text(base64.b32decode(run + "=" * (-len(run) % 8)))
        except binascii.Error:
            continue


def _unescaped(text: str) -> str:
    plain = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_ESCAPES: Final = (
    ("%", _URL, lambda text: unquote(text.replace("+", " "))),
    ("&", _ENTITY, html.unescape),
    ("\\", _ESCAPE, _unescaped),
)


def _base64(run: str) -> str:
    run = re.sub(r"[\s=]", "", run).replace("-", "+").replace("_", "/")
    run = run[: len(run) // 4 * 4] if len(run) % 4 == 1 else run
    return _text(base64.b64decode(run + "=" * (-len(run) % 4)))


def _text(data: bytes) -> str:
    """Return the text of bytes in UTF-8, or in UTF-16 if they hold zeros. Empty if it is none."""
    encoding = "utf-16-le" if b"\0" in data else "utf-8"
    for end in (len(data), len(data) - 1):
        try:
            return data[:end].decode(encoding)
        except UnicodeDecodeError:
            continue
    return ""


def _is_readable(text: str) -> bool:
    """Return whether most characters are letters and blanks, as in prose."""
    sample = text[:400]
    letters = sum(1 for character in sample if character.isalpha() or character.isspace())
    return letters * 10 >= len(sample) * (6 if sample.isprintable() else 8)
