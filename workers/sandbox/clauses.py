"""Make a unit of text a short sentence: shorten it to a clause, end it with a full stop."""

from __future__ import annotations

import re
from collections.abc import Callable

import wcwidth

from workers.sandbox import text as texts

NATURAL = (40, 240)
"""Width of a sentence that reads well; see `width`."""

_END = re.compile(r"[.!?…。！？؟۔।][\"'”’»)\]）」』]*$")  # noqa: RUF001
_CLAUSE = re.compile(
    r"(?<=[;；])\s*|(?<=[:：])(?:\s+|(?<=：))|\s+[—–]\s*|—|\s+-\s+"  # noqa: RUF001
    r"|,\s+(?=(?:and|but|so|which|while|because|although|whereas)\b)"
)
_COMMA = re.compile(r",\s|[，、]|\s(?=(?:and|but|because|which|when|while)\s)")  # noqa: RUF001
_ASIDE = re.compile(r"\s*(?:\([^()]{1,400}\)|（[^（）]{1,400}）)")  # noqa: RUF001
_JOINER = re.compile(
    r"^(?:and|but|or|so|then|which|while|because|although|whereas)\s+", re.IGNORECASE
)
_PAIRS = ("()", "[]", "（）", "「」", "“”")  # noqa: RUF001
_CJK_END = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]$")
_HEAD_WEIGHT = 1.25
"""The first clause of a sentence can stand alone; the others depend on it."""


def width(text: str) -> int:
    """Return the columns of a text: a Chinese, Japanese or Korean character takes two."""
    return len(text) if text.isascii() else max(0, wcwidth.width(text))


def shorten(text: str, limit: int, worth: Callable[[str], float]) -> str:
    """Return at most about `limit` columns: drop asides, then keep the clause worth most."""
    if width(text) <= limit:
        return text
    text = _ASIDE.sub("", text).strip()
    if width(text) <= limit:
        return text
    parts = [_head(part.strip(), limit) for part in _CLAUSE.split(text) if part and part.strip()]
    parts = [part for part in parts if width(part) >= NATURAL[0] // 2] or parts[:1]
    best = max(parts, key=lambda part: worth(part) * (_HEAD_WEIGHT if part is parts[0] else 1))
    return _balanced(best if best is parts[0] else _JOINER.sub("", best))


def finish(text: str) -> str:
    """Return the text with a capital at its start and a full stop of its script at its end."""
    text = text.strip().rstrip(",;:，；：、—–-").rstrip() or text.strip()  # noqa: RUF001
    first = text.partition(" ")[0]
    if len(text) > 1 and first.isascii() and first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    if not text or _END.search(text):
        return text
    return text + ("。" if _CJK_END.search(text) else ".")


def join(sentences: list[str]) -> str:
    """Return the sentences as one text, with spaces between them where their script has them."""
    return re.sub(r"(?<=[。！？]) ", "", " ".join(sentences))  # noqa: RUF001


def _head(text: str, limit: int) -> str:
    """Return the text up to the last comma, or else the last word, that fits."""
    if width(text) <= limit:
        return text
    room = max(1, limit * len(text) // width(text))
    cuts = [m.start() for m in _COMMA.finditer(text[: room + 1]) if m.start() * 3 > room]
    return text[: cuts[-1]].rstrip() if cuts else texts.clip(text, room).rstrip(",;:.") + "…"


def _balanced(text: str) -> str:
    for pair in _PAIRS:
        if text.count(pair[0]) != text.count(pair[1]):
            text = text.replace(pair[0], "").replace(pair[1], "")
    return text.replace('"', "") if text.count('"') % 2 else text
