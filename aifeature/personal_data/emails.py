"""E-mail addresses, also with international names, and written around the @."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from aifeature.personal_data.kinds import Kind, Match
from aifeature.personal_data.views import View

_AT: Final = re.compile("@|%40|&#64;|&#x40;|&commat;")
_AT_WORD: Final = r"(?:at|ät|arobase|arroba|chiocciola|malpa|małpa|zavináč|собака|@)"
_BRACKETED_AT: Final = re.compile(rf"[(\[{{<]\s?{_AT_WORD}\s?[)\]}}>]\s?")
_SPOKEN_AT: Final = re.compile(r"\s(?:at|arobase|arroba|chiocciola|собака)\s")
_DOT_WORDS: Final = ("dot", "punkt", "point", "punto", "ponto", "kropka", "tečka", "точка")
_DOT_WORD: Final = (
    r"(?:\s?[(\[{<]\s?(?:dot|punkt|point|punto|ponto|kropka|tečka|точка|\.)\s?[)\]}>]\s?"
    r"|\s(?:dot|punkt|point|punto|ponto|kropka|tečka|точка)\s)"
)
_LETTERS: Final = "a-z\u00e0-\u024f\u0370-\u052f"
_LABEL: Final = f"[{_LETTERS}0-9](?:[{_LETTERS}0-9-]{{0,61}}[{_LETTERS}0-9])?"
_MARKS: Final = "\u0300-\u036f\u0900-\u109f\u1780-\u17d3"
"""Blocks with combining marks, which are no letters for a regular expression."""
_ANY_LABEL: Final = rf"[^\W_](?:[\w{_MARKS}-]{{0,61}}(?:[^\W_]|[{_MARKS}]))?"
_TOP: Final = f"(?:xn--[a-z0-9-]{{2,59}}|[{_LETTERS}]{{2,24}})"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.){{1,8}}{_TOP}(?![{_LETTERS}0-9]|-[a-z0-9])")
_ANY_DOMAIN: Final = re.compile(
    rf"(?:{_ANY_LABEL}\.){{1,8}}(?:{_TOP}(?![a-z])|[^\W\d_](?:[^\W\d_]|[{_MARKS}]){{1,9}})"
)
_SPOKEN_DOMAIN: Final = re.compile(
    rf"{_LABEL}(?:(?:{_DOT_WORD}|\.){_LABEL}){{0,6}}{_DOT_WORD}{_TOP}(?![{_LETTERS}0-9])"
)
_SPACED_DOMAIN: Final = re.compile(
    rf"\s?{_LABEL}(?:\s?\.\s?{_LABEL}){{0,4}}\s?\.\s?{_TOP}(?![{_LETTERS}0-9])"
)
_LOCAL: Final = re.compile(rf"[{_LETTERS}0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,64}}")
_ANY_LOCAL: Final = re.compile(rf"[\w.+{_MARKS}-]{{1,64}}")
_WIDE_DOTS: Final = re.compile(rf"{_LABEL}(?:[.。｡]{_LABEL}){{0,6}}[。｡]{_TOP}(?![{_LETTERS}0-9])")
_SPACED_LOCAL: Final = re.compile(rf"\s?([{_LETTERS}0-9+_.-]{{1,64}})")
_QUOTED: Final = re.compile(r'"[^"\n]{1,62}"')
_MAIL_WORD: Final = re.compile(
    r"e-?mail|mail|correo|courriel|e-?post|poczt|почт|пошт|邮箱|邮件|メール|이메일|بريد"
)
_FILE: Final = frozenset(
    [
        "png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "avif", "js", "mjs", "css",
        "scss", "ts", "tsx", "jsx", "json", "html", "htm", "xml", "yaml", "yml", "toml", "txt",
        "csv", "tgz", "gz", "tar", "bz", "exe", "dll", "pdf", "doc", "docx", "xls", "xlsx",
        "ppt", "pptx", "mp3", "mp4", "wav", "woff", "woff2", "ttf", "java", "cpp", "hpp", "php",
        "class", "lock", "log", "bak",
    ]
)  # fmt: skip
"""Endings of file names that are no top-level domains."""
_BEFORE_AT: Final = frozenset(
    [
        "look", "looks", "looking", "meet", "meeting", "noon", "arrive", "arrived", "work", "works",
        "working", "be", "is", "are", "was", "were", "am", "stay", "see", "seen", "me", "us", "him",
        "her", "them", "it", "call", "start", "stop", "aim", "good", "bad", "best", "half", "point",
        "based", "located", "sold", "buy", "bought", "live", "lives", "shop", "here", "there",
        "available", "up", "down", "and", "or", "one", "all", "staff", "people", "ready",
    ]
)  # fmt: skip
_AFTER_AT: Final = frozenset(
    [
        "this", "that", "the", "a", "an", "my", "our", "your", "all", "least", "last", "first",
        "its", "his", "her",
    ]
)  # fmt: skip
"""Words of prose before and after `at`, which are no names."""
_COMMON_TOP: Final = frozenset(
    [
        "com", "org", "net", "edu", "gov", "mil", "info", "biz", "name", "dev", "app", "email",
        "online", "site", "cloud", "xyz", "shop", "blog", "tech",
    ]
)  # fmt: skip
_VERSION: Final = re.compile(r"v?\d+\.\d|\d+x\.")
_REMOTE_USERS: Final = frozenset({"git", "hg", "svn"})


def find(view: View) -> Iterator[Match]:
    """Yield the e-mail addresses of a view."""
    text = view.lower
    if "@" in text or "%40" in text or "&" in text:
        for at in _AT.finditer(text):
            if match := _plain(text, at.start(), at.end()):
                yield match
    for at in _BRACKETED_AT.finditer(text):
        if match := _spoken(text, at.start(), at.end(), bracketed=True):
            yield match
    if any(word in text for word in _DOT_WORDS):
        for at in _SPOKEN_AT.finditer(text):
            if match := _spoken(text, at.start(), at.end(), bracketed=False):
                yield match


def _match(text: str, start: int, at: int, after: int, end: int) -> Match:
    local = text[start:at].strip().strip('"')
    domain = re.sub(rf"{_DOT_WORD}|[。｡]", ".", text[after:end])
    domain = re.sub(r"\s", "", domain)
    return Match(start, end, Kind.EMAIL, unicodedata.normalize("NFC", f"{local}@{domain}"))


def _plain(text: str, at: int, after: int) -> Match | None:
    domain = (
        _DOMAIN.match(text, after)
        or _ANY_DOMAIN.match(text, after)
        or _WIDE_DOTS.match(text, after)
    )
    if domain is None or _VERSION.match(domain[0]) or domain[0].rpartition(".")[2] in _FILE:
        return _spaced(text, at, after)
    start = _local_start(text, at)
    if start is None:
        return _spaced(text, at, after)
    if text[start - 1 : start] in {"/", "\\"} and domain[0].endswith(".md"):
        return None
    local, rest = text[start:at], text[domain.end() : domain.end() + 1]
    if local in _REMOTE_USERS and rest in {":", "/"}:
        return None
    return _match(text, start, at, after, domain.end())


def _local_start(text: str, at: int) -> int | None:
    """Return where the name before the @ begins; None if none stands there."""
    before = text[max(0, at - 65) : at][::-1]
    found = _QUOTED.match(before) or _LOCAL.match(before) or _ANY_LOCAL.match(before)
    if found is None:
        return None
    start = at - found.end()
    name = text[start:at]
    if name[0] == '"':
        return start
    for sign in ("mailto:", "=", "?", "/", "&", "|", "'", "`", "*", "~", "%3a", "%3d", "%20"):
        # these may be parts of a name, but are nearly always signs before it
        cut = name.rfind(sign)
        if cut >= 0:
            start += cut + len(sign)
            name = text[start:at]
    kept = name.lstrip(".-+#!$%^{}_") if not name[:1].isalnum() else name
    if not kept or kept.endswith("."):
        return None
    return start + len(name) - len(kept)


def _spaced(text: str, at: int, after: int) -> Match | None:
    """Return an address with spaces around its signs, which needs a word for mail before it."""
    if not (
        text[at - 1 : at].isspace()
        or text[after : after + 1].isspace()
        or " ." in text[after : after + 60]
        or ". " in text[after : after + 60]
    ):
        return None
    domain = _SPACED_DOMAIN.match(text, after)
    found = _SPACED_LOCAL.match(text[max(0, at - 66) : at][::-1])
    if domain is None or found is None or _VERSION.match(domain[0].strip()):
        return None
    start = at - found.end()
    if not _MAIL_WORD.search(text, max(0, start - 40), start):
        return None
    if domain[0].rpartition(".")[2].strip() in _FILE:
        return None
    return _match(text, start, at, after, domain.end())


def _spoken(text: str, at: int, after: int, *, bracketed: bool) -> Match | None:
    """Return an address such as `name (at) host (dot) tld` or `name at host dot tld`."""
    domain = _SPOKEN_DOMAIN.match(text, after) or (
        _DOMAIN.match(text, after) if bracketed else None
    )
    if domain is None or _VERSION.match(domain[0]):
        return None
    top = re.split(r"[\s.()\[\]{}<>]", domain[0])[-1]
    if not bracketed and not (top in _COMMON_TOP or len(top) == 2):  # noqa: PLR2004
        return None
    start = _local_start(text, at - (bracketed and text[at - 1 : at].isspace()))
    if start is None or top in _FILE:
        return None
    if not bracketed and (
        text[start:at] in _BEFORE_AT or re.split(r"[\s.]", domain[0], maxsplit=1)[0] in _AFTER_AT
    ):
        return None
    return _match(text, start, at, after, domain.end())
