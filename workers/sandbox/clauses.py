"""Making a unit of text a short sentence of its own: clauses, cuts, full stops."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workers.sandbox import text as texts

if TYPE_CHECKING:
    from collections.abc import Callable

NATURAL = (40, 240)
"""Width of a sentence that reads well; see `width`."""

_WIDE = re.compile(f"[{texts.CJK}]")
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
_PAIRS = (("(", ")"), ("[", "]"), ("（", "）"), ("「", "」"), ("“", "”"))  # noqa: RUF001
_FAR = 4000


def width(text: str) -> int:
    """Length in Latin characters: a Chinese, Japanese or Korean one says as much as three."""
    return len(text) if text.isascii() else len(text) + 2 * len(_WIDE.findall(text))


def shorten(text: str, limit: int, worth: Callable[[str], float]) -> str:
    """At most about `limit` wide: without asides, then the clause worth most, then its head."""
    if width(text) <= limit:
        return text
    text = _ASIDE.sub("", text[:_FAR]).strip()
    if width(text) <= limit:
        return text
    parts = [p.strip() for p in _CLAUSE.split(text) if p and p.strip()]
    fitting = [p for p in _merged(parts, limit) if width(p) >= NATURAL[0] // 2] or parts[:1]
    # A sentence's head can stand alone; what follows leans on it.
    best = max(enumerate(fitting), key=lambda p: worth(p[1]) * (1.25 if p[0] == 0 else 1.0))[1]
    if best is not fitting[0]:
        best = _JOINER.sub("", best)
    return _balanced(_head(best, limit))


def finish(text: str) -> str:
    """The text as a sentence: a capital at its start, a full stop of its script at its end."""
    text = text.strip().rstrip(",;:，；：、—–-").rstrip() or text.strip()  # noqa: RUF001
    first = text.partition(" ")[0]
    if len(text) > 1 and first.isascii() and first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    if not text or _END.search(text):
        return text
    return text + ("。" if _WIDE.match(text[-1]) and not "\uac00" <= text[-1] <= "\ud7af" else ".")


def join(sentences: list[str]) -> str:
    """Sentences one after the other, with a space where their script has one."""
    whole = ""
    for sentence in sentences:
        gap = "" if not whole or whole.endswith(("。", "！", "？")) else " "  # noqa: RUF001
        whole += gap + sentence
    return whole


def _merged(parts: list[str], limit: int) -> list[str]:
    """Only whole clauses: each one that fits, those too long cut at their last comma that does."""
    return [part if width(part) <= limit else _head(part, limit) for part in parts]


def _head(text: str, limit: int) -> str:
    """The text up to the last comma, or else the last word, that fits."""
    if width(text) <= limit:
        return text
    room = limit if text.isascii() else max(1, limit * len(text) // width(text))
    cuts = [m.start() for m in _COMMA.finditer(text[: room + 1]) if m.start() * 3 > room]
    if cuts:
        return text[: cuts[-1]].rstrip()
    return texts.clip(text, room).rstrip(",;:.") + "…"


def _balanced(text: str) -> str:
    for opening, closing in _PAIRS:
        if text.count(opening) != text.count(closing):
            text = text.replace(opening, "").replace(closing, "")
    return text.replace('"', "") if text.count('"') % 2 else text
