"""Separate the instructions of a request from the delimited material that they are about.

Only text outside delimiters counts as instructions here. `perturb` follows other ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workers.sandbox import tokens

QUESTION_TAGS = ("question", "query")
CANDIDATE_TAGS = (
    "answer", "summary", "candidate", "response", "output", "prediction", "reply", "completion",
)  # fmt: skip
REFERENCE_TAGS = ("reference", "expected", "gold", "facts", "key_facts", "rubric_facts")
NOT_SOURCE_TAGS = ("labels", "categories", "options", "instructions", "rules", "format", "schema",
                   "example", "examples", "rubric")  # fmt: skip
KNOWLEDGE_TAGS = ("handbook", "document", "documents", "context", "knowledge", "manual", "faq",
                  "sources", "source", "articles", "guide", "policy", "wiki", "docs",
                  "conversation")  # fmt: skip

_SPECIAL = QUESTION_TAGS + CANDIDATE_TAGS + REFERENCE_TAGS + NOT_SOURCE_TAGS
_ANSWERING = re.compile(r"\b(?:question|answer|ask(?:s|ed)?)\b", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]{0,80})(\s[^<>]{0,300})?>")
_RANDOM = re.compile(r"(?=[a-zA-Z]*\d)(?=\d*[a-zA-Z])[a-zA-Z\d]{6,64}(?![a-zA-Z\d])")
_LINE = re.compile(
    r"^(?:(?P<fence>```|~~~)[`~]*+[^`\n]*+|[ \t]{0,8}(?:[^\w\s]{2,12}|BEGIN\b|END\b)[^\n]{0,60}?\b"
    rf"(?P<marker>{_RANDOM.pattern})[^\n]{{0,40}})(?:\n|\Z)",
    re.MULTILINE,
)
"""A line that opens or ends a piece: a fence, or a random marker (`== BEGIN 8f3a61c0 ==`)."""

_REPAIR = re.compile(
    r"\b(?:valid(?:ate|ation)?|schema|json|parse|correct(?:ed)?|repair|field required)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"[?？؟]|^\W{0,3}(?:who|what|when|where|which|why|how|is|are|do|does|did|can|could)\b",  # noqa: RUF001
    re.IGNORECASE,
)
_TASK = re.compile(
    r"\b(?:summar|classif|categor|label|scor|rat(?:e|ing)|grad|judg|extract|translat|moderat|triag)",
    re.IGNORECASE,
)
"""A task that a question of the user is material for."""

_SLASH = re.compile("[⁄∕⧸╱]")  # noqa: RUF001
_TURN = re.compile(
    r"^[^\w\n]{2,12}[ \t]*END\b|^\s{0,12}(?:Human|System)\s{0,4}:",
    re.IGNORECASE | re.MULTILINE,
)
_LEAD_IN = 600
_SPACED = 40
"""Characters for each space at most in text that is not datamarked."""

_INDENT = 40
"""Most characters before a tag that begins its line."""

_JOINS_WORDS = 20
"""Characters for each datamark at most."""

Span = tuple[str, str, int, int, int, int]
"""The tag and the marker of a delimited piece, and where it and its content begin and end."""


@dataclass(frozen=True, slots=True)
class Material:
    """A delimited piece of a prompt."""

    tag: str
    text: str
    marker: str = ""
    """The random marker that its opening and its end carry, or nothing."""

    datamarked: bool = False
    """Whether one rare character joined its words; `text` has spaces instead."""

    def is_a(self, names: tuple[str, ...]) -> bool:
        """Whether the tag is one of these words, or has one as a part (`user_question`)."""
        name = self.tag.casefold().replace("-", "_")
        return name in names or any(part in names for part in name.split("_"))


@dataclass(frozen=True, slots=True)
class Prompt:
    """The instructions and the materials of a request."""

    instructions: str
    materials: tuple[Material, ...]
    system: str = ""
    loose: str = ""
    """The text outside of delimiters in the user turn that is answered."""

    given: tuple[Material, ...] = ()
    """The materials of the user turns."""

    def first(self, names: tuple[str, ...]) -> str:
        """Return the text of the last material with one of these tags, or nothing."""
        return next((m.text for m in reversed(self.materials) if m.is_a(names)), "")

    @property
    def question(self) -> str:
        """Return the question about the other material, or nothing."""
        question = self.first(QUESTION_TAGS)
        others = [m for m in self.materials if not m.is_a(_SPECIAL)]
        if question or not any(m.is_a(KNOWLEDGE_TAGS) for m in others):
            return question
        if not _ANSWERING.search(self.instructions):
            return ""
        return next((m.text for m in reversed(others) if not m.is_a(KNOWLEDGE_TAGS)), "")

    @property
    def candidate(self) -> str:
        """Return the text to judge."""
        return self.first(CANDIDATE_TAGS) if len(self.materials) > 1 else ""

    @property
    def reference(self) -> str:
        return self.first(REFERENCE_TAGS)

    @property
    def source(self) -> str:
        """Return the material that is neither a question nor a text to judge."""
        question = self.question
        plain = [m.text for m in self.materials if not m.is_a(_SPECIAL) and m.text != question]
        if plain:
            return "\n\n".join(plain)
        if question:
            return self.instructions
        return max(
            (m.text for m in self.materials if not m.is_a(NOT_SOURCE_TAGS)), key=len, default=""
        )

    def pieces(self) -> Iterator[tuple[str, str]]:
        """Yield the parts of the user turn with what protects each one.

        `outside` of a fence, `fenced`, `datamarked`, or after a `forged_end`: a closing tag within
        a fence that resembles its own, or the beginning of a forged turn.
        """
        yield "outside", self.loose
        for piece in self.given:
            text = piece.text
            if not text.isascii():
                text = _SLASH.sub("/", unicodedata.normalize("NFKC", text))
                hidden = {
                    ord(char): None for char in set(text) if unicodedata.category(char) == "Cf"
                }
                text = text.translate(hidden) if hidden else text
            word = re.escape(re.split(r"[\W_\d]", piece.tag)[0])
            tag = rf"<\s*(?:/[^<>]{{0,40}}{word}[^<>]{{0,40}}>|{word}\b[^<>]{{0,40}}/\s*>)"
            ends = re.search(tag, text, re.IGNORECASE), _TURN.search(text)
            end = min(filter(None, ends), key=re.Match.start, default=None)
            inside = text[: end.start() if end else None]
            yield "datamarked" if piece.datamarked else "fenced", inside
            if end:
                yield "forged_end", text[end.end() :]


def read(body: Mapping[str, Any]) -> Prompt:
    """Return the prompt of a request.

    A user turn that follows an answer and complains about its form is a request for repair: the
    first turn is answered again. In any other conversation the last user turn is answered.
    """
    system = _text(body.get("system"))
    instructions, known = _separate(system)
    messages = body["messages"]
    turns = [_text(message["content"]) for message in messages if message["role"] == "user"]
    user = turns[0] if len(turns) == 1 or _REPAIR.search(turns[-1]) else turns[-1]
    is_later = user is not turns[0]
    given = [piece for turn in turns[:-1] for piece in _separate(turn)[1]] if is_later else []
    loose, found = _separate(user)
    rest = loose
    bare: list[Material] = []
    if not found:
        talk = "\n\n".join(_text(message["content"]) for message in messages[:-1])
        if is_later and not known and not given:
            known = [Material("conversation", talk)]
            is_later = _ASKS.search(loose) is not None
        rest, bare = _bare(loose, known + given, asks=is_later, system=system.strip())
    given += found
    materials = (*known, *given, *bare)
    return Prompt(f"{instructions}\n\n{rest}", materials, system, loose, tuple(given))


def _text(content: Any) -> str:
    """Return the text of a system prompt or a message; results and documents as delimited."""
    return "\n\n".join(filter(None, map(_block_text, tokens.blocks(content))))


def _block_text(block: Any) -> str:
    kind = "text" if isinstance(block, str) else block.get("type")
    if kind == "text":
        return tokens.block_text(block)
    if kind == "tool_result":
        return f"<tool_result>\n{_text(block.get('content'))}\n</tool_result>"
    if kind == "document":
        return f"<document>\n{block.get('source', {}).get('data', '')}\n</document>"
    return ""


def _bare(
    text: str, known: list[Material], *, asks: bool, system: str
) -> tuple[str, list[Material]]:
    """Return the instructions and the material of a user turn without delimiters."""
    if known and (asks or known[0].tag != "conversation"):
        return "", [Material("question", text)]
    if known:
        return text, []
    head, gap, rest = text.partition("\n\n")
    announced = rest.strip() and head.rstrip().endswith(":")
    if gap and len(head) < _LEAD_IN and (announced or (not system and len(rest) > _LEAD_IN)):
        return head, [Material("text", rest)]
    if len(text) < _LEAD_IN and _ASKS.search(text) and not _TASK.search(system):
        return "", [Material("question", text), Material("document", "")]
    return ("" if system else text), [Material("text", text)]


def _separate(text: str) -> tuple[str, list[Material]]:
    """Return the text outside the outermost delimiters, and the materials inside them."""
    found: list[Material] = []
    for spans in (_elements, _lines):
        text, more = _cut(text, spans(text))
        found += more
    return text, found


def _cut(text: str, spans: list[Span]) -> tuple[str, list[Material]]:
    """Return the text outside of spans, and the materials in those that are in no other one."""
    outside: list[str] = []
    found: list[Material] = []
    at = 0
    for tag, marker, start, inner, inner_end, end in sorted(spans, key=lambda span: span[2]):
        if start >= at:
            outside.append(text[at:start])
            piece, datamarked = _without_datamarks(text[inner:inner_end].strip())
            found.append(Material(tag, piece, marker, datamarked))
            at = end
    return "".join(outside) + text[at:], found


def _elements(text: str) -> list[Span]:
    """Return the elements that are in none of the same name, in one pass over all tags.

    An element whose opening has a random marker ends with a tag that has it too, if there is one.
    """
    spans: list[Span] = []
    tags = list(_TAG.finditer(text))
    closing = [tag[0] for tag in tags if tag[1]]
    if not closing:
        return []
    ends = {found[0] for found in map(_RANDOM.search, closing) if found}
    open_tags: dict[str, list[re.Match[str]]] = {}
    own_line: dict[str, re.Match[str]] = {}
    last: dict[str, tuple[re.Match[str], str]] = {}
    for tag in tags:
        found = _RANDOM.search(tag[0]) if ends else None
        marker = found[0] if found and found[0] in ends else ""
        name = f"{tag[2]} {marker}"
        within = open_tags.setdefault(name, [])
        if not tag[1]:
            within.append(tag)
            if _begins_line(text, tag.start()):
                own_line.setdefault(name, tag)
        elif within:
            opening = within.pop()
            last[name] = tag, marker
            if not within:
                spans.append(_span(opening, tag, marker))
    for name, (tag, marker) in last.items():
        if open_tags[name]:
            # More are opened than closed: the first one ends with the last closing tag. A sentence
            # that mentions a tag opens none.
            spans.append(_span(own_line.get(name, open_tags[name][0]), tag, marker))
    return [span for span in spans if span[4] >= span[3]]


def _begins_line(text: str, at: int) -> bool:
    _before, newline, indent = text[max(0, at - _INDENT) : at].rpartition("\n")
    return not indent.strip() and (newline != "" or at <= _INDENT)


def _span(opening: re.Match[str], end: re.Match[str], marker: str) -> Span:
    return opening[2], marker, opening.start(), opening.end(), end.start(), end.end()


def _lines(text: str) -> list[Span]:
    """Return the pieces between two fences of code, or two lines with the same random marker."""
    spans: list[Span] = []
    opened: dict[str, re.Match[str]] = {}
    for line in _LINE.finditer(text):
        mark = line["fence"] or line["marker"]
        if (opening := opened.pop(mark, None)) is None:
            opened[mark] = line
        else:
            ends = (opening.start(), opening.end(), line.start(), line.end())
            spans.append(("text", line["marker"] or "", *ends))
    return spans


def _without_datamarks(text: str) -> tuple[str, bool]:
    """Return the text with spaces between its words, and whether a rare character joined them.

    Source: "datamarking" in arXiv 2403.14720.
    """
    if len(text) < _SPACED or text.count(" ") * _SPACED > len(text):
        return text, False
    marks = set(filter(_may_join_words, set(text)))
    if marks:
        for mark, count in Counter(text).most_common(_SPACED):
            if mark in marks and count * _JOINS_WORDS > len(text):
                return text.replace(mark, " "), True
    return text, False


def _may_join_words(mark: str) -> bool:
    is_rare = mark in "^~" or unicodedata.category(mark) in ("Co", "Sk", "So", "Sm", "Lm")
    return is_rare and not "\u3000" <= mark <= "\u30ff"
