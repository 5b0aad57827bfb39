"""Bounds on the number of tokens of a text, without the provider's tokenizer.

In byte-level tokenizers each token has at least one byte. A tokenizer may normalize the text to
NFKC first, as the one published with the provider's SDK of 2024 does. That form can be eleven
times as long: U+FDFA has 3 bytes, its NFKC form 33.
"""

from __future__ import annotations

import unicodedata

MOST_BYTES_PER_TOKEN = 16
"""Natural language has at most eight bytes per token in the tokenizers that were tried
(`docs/decisions/billing.md`). Only long runs of one character, such as spaces, have more."""

_PIECE = 4_000
"""Characters that are normalized in one step: 10 ms in the worst case."""


def most_tokens(text: str) -> int:
    """Return the most tokens of a text: its UTF-8 bytes, as sent or in NFKC if that is longer."""
    if text.isascii():
        return len(text)
    if unicodedata.is_normalized("NFKC", text):
        return _bytes(text)
    # In pieces, because `normalize` holds the interpreter's lock until it returns.
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    normal = sum(_bytes(unicodedata.normalize("NFKC", piece)) for piece in pieces)
    return max(_bytes(text), normal)


def least_tokens(text: str) -> int:
    """Return the fewest tokens of a text. A lower count cannot be right."""
    return _bytes(text) // MOST_BYTES_PER_TOKEN


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
