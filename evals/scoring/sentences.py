"""Sentences of a text in any language."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

import sentencex

READ: Final = 10_000
"""Characters that are read: on some texts the time grows with the square of the length."""

_GLUED: Final = re.compile(r"(?<=[。！？])")  # noqa: RUF001 (ends in Japanese and Chinese)
_INITIAL: Final = re.compile(r"(?:^|[\s(])\w\.$")
"""An end such as `M.` or `B.`, which is no end of a sentence."""


def count(text: str, language: str) -> int:
    """Return the number of sentences. `language` is an ISO 639-1 code; empty: English."""
    parts = [
        piece.strip()
        for sentence in sentencex.segment(language or "en", text[:READ])  # type: ignore[attr-defined]
        for piece in _GLUED.split(sentence)
        if any(map(str.isalnum, piece))
    ]
    inside = sum(_continues(a, b) for a, b in pairwise(parts))
    return len(parts) - inside


def _continues(before: str, after: str) -> bool:
    return bool(_INITIAL.search(before)) or after[0].islower() or after[0] in ",;:)"
