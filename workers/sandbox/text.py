"""Reading text in any language: markup off, sentences apart, words to comparable terms."""

from __future__ import annotations

import html
import re
from functools import lru_cache

CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"

_STOP_WORDS = """a about above after again all also am an and any are as at be because been before
being below between both but by can could did do does doing down during each few for from further
had has have having he her here hers him his how i if in into is it its itself just me more most my
no nor not now of off on once only or other our ours out over own same she should so some such than
that the their theirs them then there these they this those through to too under until up us very
was we were what when where which while who whom why will with would you your yours please thanks
thank hi hello dear regards get got let say said may might must shall
el la los las un una de del que y en es por con para se su al lo como
der die das und ist ein eine einen zu den von mit für auf im nicht sich des dem
le les du et est une dans pour qui sur au aux ce il elle"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

_DROPPED = re.compile(r"<(script|style)\b[^>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_ITEM_TAG = re.compile(r"<li(?:\s[^<>]{0,300})?>\s*", re.IGNORECASE)
_TITLE_TAG = re.compile(r"<h[1-6](?:\s[^<>]{0,300})?>\s*", re.IGNORECASE)
_BLOCK_TAG = re.compile(
    r"</?(?:p|div|li|ul|ol|dl|dt|dd|tr|table|h[1-6]|br|hr|section|article|blockquote|pre|title)"
    r"(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,300}>|<!--.{0,2000}?-->", re.DOTALL)
_QUOTE_MARK = re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE)
_BREAK = re.compile(
    r"(?<=[.!?…؟\u06d4।])[\"'”\u2019»)\]]*\s+"  # Latin, Arabic, Urdu, Hindi ends, then a space
    r"|(?<=[。！？])(?![」』”）])"  # noqa: RUF001 - Chinese and Japanese ends, no space needed
    r"|\n\s*\n"
    r"|\n(?=\s*(?:[-*•#]|\d{1,3}[.)]\s|[^\W\d_][\w .]{0,30}:\s))"
    r"|(?<=:)\n"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|approx|No|Nr|Fig|Inc|Ltd|Co|co)\.$"
)
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\d{1,3}[.)]\s+)")
_WORD = re.compile(rf"[{CJK}]+|[^\W_{CJK}]+")
_SUFFIXES = ("ations", "ation", "ings", "ing", "ions", "ion", "ies", "ed", "es", "s", "e")
_SHORTEST_STEM = 3
_PREFIX = 6


def plain(text: str) -> str:
    """The text without HTML tags, entities and the `>` marks of quoted mail."""
    if "<" in text:
        text = _DROPPED.sub(" ", text)
        for tag, mark in ((_ITEM_TAG, "\n- "), (_TITLE_TAG, "\n\n# "), (_BLOCK_TAG, "\n\n")):
            text = tag.sub(mark, text)
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = html.unescape(text)
    return _QUOTE_MARK.sub("", text) if ">" in text else text


def newlines(text: str) -> str:
    """The text with one kind of line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def sentences(text: str) -> list[str]:
    """The sentences of a text in reading order; bullets and chat lines count as sentences."""
    found: list[str] = []
    pending = ""
    for piece in _BREAK.split(text):
        if not piece or piece.isspace():
            continue
        joined = f"{pending} {piece}" if pending else piece
        if _ABBREVIATION.search(joined[-12:]):
            pending = joined
            continue
        pending = ""
        found.append(" ".join(_BULLET.sub("", joined).split()))
    if pending:
        found.append(" ".join(pending.split()))
    return [sentence for sentence in found if sentence]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A crude stem, so that `refunds`, `refunded` and `refunding` meet."""
    if not word.isascii() or word.isdigit():
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            word = word[: -len(suffix)]
            break
    if len(word) > _SHORTEST_STEM and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") and len(word) > _SHORTEST_STEM else word


def terms(text: str) -> list[str]:
    """Content words as stems; runs of Chinese, Japanese or Korean as pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if word[0] >= "\u3040" and not word.isascii() and re.match(rf"[{CJK}]", word):
            found.extend(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        elif word not in STOP_WORDS and (len(word) > 1 or word.isdigit()):
            found.append(stem(word))
    return found


def keys(text: str) -> list[str]:
    """Terms shortened further than stems, so that deletion and delete meet."""
    return [term[:_PREFIX] if term.isascii() else term for term in terms(text)]


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, cut at a space if one is near, never inside an emoji."""
    if len(text) <= limit:
        return text
    cut = text.rfind(" ", limit // 2, limit + 1)
    if cut < 0:
        cut = limit
        while cut > 0 and (
            text[cut] in "\u200d\ufe0f" or text[cut - 1] == "\u200d" or _joins(text[cut])
        ):
            cut -= 1
    return text[:cut].rstrip()


def _joins(char: str) -> bool:
    """Whether a character belongs to the one before it."""
    if char in "\u200d\ufe0f":
        return True
    return "\u0300" <= char <= "\u036f" or "\U0001f3fb" <= char <= "\U0001f3ff"
