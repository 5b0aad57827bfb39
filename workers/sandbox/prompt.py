"""Separate the instructions of a request from the delimited material that they are about.

Only text outside delimiters counts as instructions; text inside them is never obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
                  "sources", "source", "articles", "guide", "policy", "wiki", "docs")  # fmt: skip

_SPECIAL = QUESTION_TAGS + CANDIDATE_TAGS + REFERENCE_TAGS + NOT_SOURCE_TAGS
_ANSWERING = re.compile(r"\b(?:question|answer|ask(?:s|ed)?)\b", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]{0,60})(?:\s[^<>]{0,300})?>")
_FENCE = re.compile(r"^(```|~~~)[`~]*+[^`\n]*+(?:\n|\Z)", re.MULTILINE)
_REPAIR = re.compile(
    r"\b(?:valid(?:ate|ation)?|schema|json|parse|correct(?:ed)?|repair|field required)\b",
    re.IGNORECASE,
)
_LEAD_IN = 600

Span = tuple[str, int, int, int, int]
"""The tag of a delimited piece, and where it and its content begin and end."""


@dataclass(frozen=True, slots=True)
class Material:
    """A delimited piece of a prompt."""

    tag: str
    text: str

    def is_a(self, names: tuple[str, ...]) -> bool:
        """Whether the tag is one of these words, or has one as a part (`user_question`)."""
        name = self.tag.casefold().replace("-", "_")
        return name in names or any(part in names for part in name.split("_"))


@dataclass(frozen=True, slots=True)
class Prompt:
    """The instructions and the materials of a request."""

    instructions: str
    materials: tuple[Material, ...]

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


def read(body: Mapping[str, Any]) -> Prompt:
    """Return the prompt of a request.

    A user turn that follows an answer and complains about its form is a request for repair: the
    first turn is answered again. In any other conversation the last user turn is answered.
    """
    system, known = _separate(_text(body.get("system")))
    turns = [_text(message["content"]) for message in body["messages"] if message["role"] == "user"]
    user = turns[0] if len(turns) == 1 or _REPAIR.search(turns[-1]) else turns[-1]
    if user is not turns[0]:
        known += [material for turn in turns[:-1] for material in _separate(turn)[1]]
    rest, material = _separate(user)
    if not material:
        rest, bare = _bare(rest, has_material=bool(known), has_system=bool(system.strip()))
        material = [bare]
    return Prompt(f"{system}\n\n{rest}", tuple(known + material))


def _text(content: Any) -> str:
    texts = (
        block
        for block in tokens.blocks(content)
        if isinstance(block, str) or block.get("type") == "text"
    )
    return "\n\n".join(map(tokens.block_text, texts))


def _bare(text: str, *, has_material: bool, has_system: bool) -> tuple[str, Material]:
    """Return the instructions and the material of a user turn without delimiters."""
    if has_material:
        return "", Material("question", text)
    head, gap, rest = text.partition("\n\n")
    announced = rest.strip() and head.rstrip().endswith(":")
    if gap and len(head) < _LEAD_IN and (announced or (not has_system and len(rest) > _LEAD_IN)):
        return head, Material("text", rest)
    return ("" if has_system else text), Material("text", text)


def _separate(text: str) -> tuple[str, list[Material]]:
    """Return the text outside the outermost delimiters, and the materials inside them."""
    outside, found = _cut(text, _elements(text))
    rest, fenced = _cut(outside, _fences(outside))
    return rest, found + fenced


def _cut(text: str, spans: list[Span]) -> tuple[str, list[Material]]:
    """Return the text outside of spans, and the materials in those that are in no other one."""
    outside: list[str] = []
    found: list[Material] = []
    at = 0
    for tag, start, inner, inner_end, end in sorted(spans, key=lambda span: span[1]):
        if start >= at:
            outside.append(text[at:start])
            found.append(Material(tag, text[inner:inner_end].strip()))
            at = end
    return "".join(outside) + text[at:], found


def _elements(text: str) -> list[Span]:
    """Return the elements that are in none of the same name, in one pass over all tags."""
    spans: list[Span] = []
    open_tags: dict[str, list[re.Match[str]]] = {}
    last: dict[str, re.Match[str]] = {}
    for tag in _TAG.finditer(text):
        name = tag[2]
        within = open_tags.setdefault(name, [])
        if not tag[1]:
            within.append(tag)
        elif within:
            opening = within.pop()
            last[name] = tag
            if not within:
                spans.append((name, opening.start(), opening.end(), tag.start(), tag.end()))
    for name, tag in last.items():
        if open_tags[name]:
            # More are opened than closed: the first one ends with the last closing tag.
            opening = open_tags[name][0]
            spans.append((name, opening.start(), opening.end(), tag.start(), tag.end()))
    return [span for span in spans if span[3] >= span[2]]


def _fences(text: str) -> list[Span]:
    """Return the pieces between two fences of the same kind."""
    spans: list[Span] = []
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif fence[1] == opening[1]:
            spans.append(("text", opening.start(), opening.end(), fence.start(), fence.end()))
            opening = None
    return spans
