"""Taking a request apart: what it asks for, and the delimited material it asks about.

Only text outside delimiters is read as instructions; what stands inside them is never obeyed.
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
_OPENING = re.compile(r"<([A-Za-z][\w-]{0,60})((?:\s[^<>]{0,300})?)>")
_FENCE = re.compile(r"^(```+|~~~+)[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_REPAIR = re.compile(
    r"\b(?:valid(?:ate|ation)?|schema|json|parse|correct(?:ed)?|repair|field required)\b",
    re.IGNORECASE,
)
_LEAD_IN = 600


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
    """A request as a reader sees it."""

    instructions: str
    materials: tuple[Material, ...]

    def first(self, names: tuple[str, ...]) -> str:
        """The text of the last material with one of these tags, or nothing."""
        return next((m.text for m in reversed(self.materials) if m.is_a(names)), "")

    @property
    def question(self) -> str:
        """What is asked of the other material, or nothing."""
        asked = self.first(QUESTION_TAGS)
        others = [m for m in self.materials if not m.is_a(_SPECIAL)]
        if asked or not any(m.is_a(KNOWLEDGE_TAGS) for m in others):
            return asked
        if not _ANSWERING.search(self.instructions):
            return ""
        return next((m.text for m in reversed(others) if not m.is_a(KNOWLEDGE_TAGS)), "")

    @property
    def candidate(self) -> str:
        """The text that is to be judged."""
        return self.first(CANDIDATE_TAGS) if len(self.materials) > 1 else ""

    @property
    def reference(self) -> str:
        return self.first(REFERENCE_TAGS)

    @property
    def source(self) -> str:
        """What the request is about, when it is not a question or a judged text itself."""
        asked = self.question
        plain = [m.text for m in self.materials if not m.is_a(_SPECIAL) and m.text != asked]
        if plain:
            return "\n\n".join(plain)
        if asked:
            return self.instructions
        texts = [m.text for m in self.materials if not m.is_a(NOT_SOURCE_TAGS)]
        return max(texts, key=len, default="")


def read(body: Mapping[str, Any]) -> Prompt:
    """The prompt of a request.

    A user turn that follows an answer and complains about its form is a request for repair: it
    is answered from the first turn. Any other conversation is answered from its last user turn.
    """
    system, more = _separate(_text(body.get("system")))
    turns = [_text(m["content"]) for m in body["messages"] if m["role"] == "user"]
    later = turns[-1] if len(turns) > 1 else ""
    user = turns[0] if not later or _REPAIR.search(later) else later
    asked, material = _separate(user)
    earlier: list[Material] = []
    if user is later:
        earlier = [found for turn in turns[:-1] for found in _separate(turn)[1]]
    if not material:
        asked, bare = _bare(asked, knows=bool(more or earlier), system=bool(system.strip()))
        material = [bare]
    return Prompt(f"{system}\n\n{asked}", tuple(more + earlier + material))


def _text(content: Any) -> str:
    parts = (tokens.block_text(b) for b in tokens.blocks(content) if _is_text(b))
    return "\n\n".join(parts)


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or (isinstance(block, Mapping) and block.get("type") == "text")


def _bare(text: str, *, knows: bool, system: bool) -> tuple[str, Material]:
    """Instructions and material of a user turn without delimiters."""
    if knows:
        return "", Material("question", text)
    head, gap, rest = text.partition("\n\n")
    if gap and rest.strip() and len(head) < _LEAD_IN and head.rstrip().endswith(":"):
        return head, Material("text", rest)
    if not system and gap and len(head) < _LEAD_IN < len(rest):
        return head, Material("text", rest)
    return ("" if system else text), Material("text", text)


def _separate(text: str) -> tuple[str, list[Material]]:
    """Text outside the outermost delimiters, and the materials inside them."""
    outside: list[str] = []
    found: list[Material] = []
    at = 0
    hopeless: set[str] = set()
    while opening := _OPENING.search(text, at):
        name = opening[1]
        end = None if name in hopeless else _closing(text, name, opening.end())
        if end is None:
            hopeless.add(name)
            outside.append(text[at : opening.end()])
            at = opening.end()
            continue
        outside.append(text[at : opening.start()])
        inner = text[opening.end() : end.start()]
        found.append(Material(name, inner.strip()))
        at = end.end()
    outside.append(text[at:])
    rest = "".join(outside)
    found.extend(Material("text", fence[2].strip()) for fence in _FENCE.finditer(rest))
    return _FENCE.sub("", rest), found


def _closing(text: str, name: str, start: int) -> re.Match[str] | None:
    """The closing tag that belongs to an opening one, past nested ones of the same name."""
    depth = 1
    for tag in re.finditer(rf"<(/?){re.escape(name)}(?:\s[^<>]{{0,300}})?>", text[start:]):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return re.compile(re.escape(tag[0])).match(text, start + tag.start())
    return None
