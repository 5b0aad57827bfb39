"""How many tokens a text can be, at most and at least, without the provider's tokenizer.

Byte-level tokenizers have no token without a byte. But one may bring a text into Unicode's form
NFKC first, as the one that the provider published with its SDK of 2024 does, and that form can be
eleven times as long: U+FDFA has 3 bytes, and 33 in it.
"""

from __future__ import annotations

import unicodedata

MOST_BYTES_PER_TOKEN = 16
"""Text in a natural language has at most eight bytes per token with the tokenizers that were tried
(`docs/decisions/billing.md`). Only long runs of one character, as of spaces, have more."""

_PIECE = 4_000
"""Characters that are normalised at once: ten milliseconds in the worst case."""


def most_tokens(text: str) -> int:
    """Return the most tokens that this text can be: its UTF-8 bytes, in the longer of its forms."""
    if text.isascii():
        return len(text)
    if unicodedata.is_normalized("NFKC", text):
        return _bytes(text)
    # In pieces, since each one holds the interpreter's lock for as long as it takes.
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    normal = sum(_bytes(unicodedata.normalize("NFKC", piece)) for piece in pieces)
    return max(_bytes(text), normal)


def least_tokens(text: str) -> int:
    """Return a number of tokens below which a count of this text cannot be right."""
    return _bytes(text) // MOST_BYTES_PER_TOKEN


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
