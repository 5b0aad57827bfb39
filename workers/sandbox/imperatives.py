"""Find the sentences of a text that request something visible: words, a link, a label."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONGEST, _MOST = 400, 5000
"""Characters of a sentence, and sentences of a text, in which an instruction is found."""

_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")  # noqa: RUF001
_RULE = re.compile(
    r"\b(?:if|when|unless|whether|otherwise|wenn|falls|for (?!this|the|me|it|now|your))\b"
    r"|^\s*[-*•].{0,40}:",
    re.IGNORECASE,
)
"""A sentence that holds for some cases: a rule of a prompt or of a handbook."""

_START = (
    r"(?:^\W*|[,;:(\"“—-]\s*"
    r"|\b(?:and|then|instead|please|now|just|und|you (?:must|should|will))\s+)"
)
_LINK = (
    r"(!?\[[^\]\n]{0,100}\]\([^)\s]{1,200}\)|<img[^<>]{0,300}>"
    r"|(?:https?|data|javascript):[^\s<>\"')]{1,300}|www\.[^\s<>\"')]{1,200})"
)
_VERBS = {
    "leak": "reveal show print repeat output leak tell disclose display give send write",
    "words": "say reply respond answer output print return write mention repeat include"
    " add sag sage antworte schreib schreibe réponds dis responde di",
    "link": "add include insert append link visit click send put answer reply respond use render"
    " show write place give end",
    "set": "set change classify label mark rate score give assign treat categorise categorize"
    " choose select flag replace answer return output report",
}
_OBJECTS = {
    "leak": r".{0,60}?\b(?:your (?:\w+ ){0,2}|system |initial |original |hidden |secret )"
    r"(?:prompt|instructions?|message|rules)\b",
    "words": r"((?:\s+(?:only|exactly|just|with|back|the|words?|phrase|sentence|text|string"
    r"|following|nur|genau|mit|exactement|exactamente)\b){0,6}\s*:?)\s*"
    r"(?:[\"“'`«„]([^\"”'`»\n]{1,200})[\"”“'`»]|([^\n]{1,200}))",
    "link": rf".{{0,200}}?{_LINK}",
    "set": r"(.{1,200})",
}
_ACTIONS = {
    kind: re.compile(rf"{_START}(?:{'|'.join(verbs.split())})\b{_OBJECTS[kind]}", re.IGNORECASE)
    for kind, verbs in _VERBS.items()
}
_ALL_VERBS = frozenset(" ".join(_VERBS.values()).split())
_WORD = re.compile(r"\w+")
_EXACT = re.compile(r"exact|genau|words?|phrase|sentence|string|(?:only|just|with|following).*:")
_FORM = re.compile(r"(?:\d|one|two|three|in|from|as|an?|this|that|what|json|valid|label)\b")


def read(text: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the object of each such request.

    The object is the words, the link or the image; of `set`, a label, a number or two words to
    exchange; of `leak`, nothing.
    """
    for sentence in _SENTENCE.split(text, maxsplit=_MOST)[:_MOST]:
        if len(sentence) > _LONGEST or _ALL_VERBS.isdisjoint(_WORD.findall(sentence.casefold())):
            continue
        if _RULE.search(sentence):
            continue
        for kind, pattern in _ACTIONS.items():
            found = pattern.search(sentence)
            # Without quotes, the wanted words must be announced, and be no form of an answer.
            if found and kind == "words" and found[3]:
                how, what = found[1].casefold(), found[3].casefold()
                found = found if _EXACT.search(how) and not _FORM.match(what) else None
            if found:
                yield kind, next((text.strip() for text in found.groups()[::-1] if text), "")
                break
