"""Text of an output, read as scorers need it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from aifeature.suites import is_expression

_ALIKE: Final = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"),  # noqa: RUF001 (these are replaced)
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),  # noqa: RUF001
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", None),
    }
)

_FIGURE: Final = re.compile(r"\d{1,3}(?: \d{3})+(?!\d)|\d+(?:[.,:/'-]\d+)*")


def pieces(output: dict[str, Any], fields: tuple[str, ...]) -> list[str]:
    """Return the texts of these output fields in order; without fields, all texts."""
    names = fields or tuple(output)
    return [text for name in names for text in _texts(output.get(name))]


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for item in value.values():
                yield from _texts(item)


def readable(text: str) -> str:
    """Return the text with one kind of quote, hyphen and space, so that these do not decide."""
    return " ".join(_plain(text).split())


def holds(text: str, entry: str) -> bool:
    """Return whether a `readable` text has the keyword: a text or `/an expression/`."""
    if is_expression(entry):
        return re.search(_expression(entry[1:-1]), text, re.IGNORECASE) is not None
    return _folded(readable(entry)) in _folded(text)


def figures(text: str) -> list[tuple[str, ...]]:
    """Return the figures of a text, each as its groups of digits: `1,200` as `("1", "200")`."""
    found = (match[0] for match in _FIGURE.finditer(readable(text)))
    return [tuple(re.split(r"\D", each)) for each in found]


def _plain(text: str) -> str:
    # Twice: NFKC splits some quotes, and makes others.
    return unicodedata.normalize("NFKC", text.translate(_ALIKE)).translate(_ALIKE)


def _expression(written: str) -> str:
    """Return an expression that fits a `readable` text. Replaced characters are literal."""
    characters = unicodedata.normalize("NFC", written)
    return "".join(
        each if (plain := _plain(each)) == each else re.escape(plain) for each in characters
    )


def _folded(text: str) -> str:
    """Return the text without upper case, and with one Turkish i."""
    lower = text.casefold().replace("\u0307", "").replace("ı", "i")  # noqa: RUF001 (dotless)
    return unicodedata.normalize("NFKC", lower)
