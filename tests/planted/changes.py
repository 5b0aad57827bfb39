"""Prompts and a handbook that are worse on purpose, and prompts that only look different."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

INVITES: Final = {
    "summarize": "Add what a reader would probably expect, even if it is not there.",
    "triage": "Where the ticket leaves gaps, fill them with plausible details.",
    "answer": "Complete the answer with what is usual elsewhere.",
}
"""By feature, in other words for each: one wording alone could suit the stand-in by chance."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the latest prompt of a feature, or of another file of its folder."""

    feature: str
    name: str
    edits: tuple[tuple[str, str], ...]
    """Regular expressions and their replacements, which are plain. Each fits one time."""
    is_worse: bool = True
    file: str = ""
    """Empty: the prompt."""
    section: str = ""
    """The id of the section of the file that the change removes."""

    def applied(self, text: str) -> str:
        """Return the changed text.

        Raises:
            ValueError: An expression does not fit exactly one time.
        """
        for pattern, new in self.edits:
            text, count = re.subn(pattern, new, text, flags=re.DOTALL)
            if count != 1:
                raise ValueError(f"{self.feature}, {self.name}: {pattern} fits {count} times")
        return text


def all_changes() -> tuple[Change, ...]:
    """Return all changes. `harmless` ones keep the meaning of a prompt."""
    return (*_summarize(), *_triage(), *_answer())


def _summarize() -> Iterator[Change]:
    only = r"State only what the document states\. "
    slug = "summarize"
    form = r"Summarise the document in exactly two sentences.*$"
    yield Change(slug, "instruction dropped", ((form, "Summarise the document."),))
    yield Change(
        slug, "wrong language", (("Write in the language of the document", "Write in French"),)
    )
    yield Change(
        slug,
        "hallucination invited",
        ((only, f"{INVITES[slug]} "), (" and is true by the document alone", "")),
    )
    moved = ((only, ""), (r"plainly and without opinion\.", f"plainly and without opinion. {only}"))
    yield _harmless(slug, "sentences reordered", *moved)
    yield _harmless(slug, "a synonym", ("plainly and", "simply and"))


def _triage() -> Iterator[Change]:
    slug = "triage"
    definitions = r"- billing: .*?\n\nUrgency follows"
    yield Change(slug, "instruction dropped", ((definitions, "Urgency follows"),))
    yield Change(
        slug,
        "wrong language",
        ((r"Classify the ticket\.", "Classify the ticket. Write the reason in French."),),
    )
    yield Change(
        slug,
        "hallucination invited",
        ((r"Classify the ticket\.", f"Classify the ticket. {INVITES[slug]}"),),
    )
    urgency = "Urgency follows the definitions of its field."
    yield _harmless(
        slug,
        "sentences reordered",
        (rf"{re.escape(urgency)} ", ""),
        ("do not raise it\\.", f"do not raise it. {urgency}"),
    )
    yield _harmless(slug, "a synonym", ("It is material to classify", "It is material to sort"))


def _answer() -> Iterator[Change]:
    only = r"- State only what the handbook states\.[^\n]*\n"
    cite = r"- Cite each section[^\n]*\n"
    slug = "answer"
    cites = ("handbook, with citations", "handbook")
    rules = rf"{only}{cite}- If the handbook does not answer[^\n]*\n"
    yield Change(slug, "instruction dropped", ((rules, ""), cites))
    yield Change(
        slug, "wrong language", (("Answer in the language of the question", "Answer in French"),)
    )
    yield Change(slug, "hallucination invited", ((only, f"- {INVITES[slug]}\n"),))
    yield Change(slug, "citation rule dropped", ((cite, ""), (", cite nothing", ""), cites))
    yield Change(
        slug,
        "handbook section removed",
        ((r"### [^\n]*\{#refund-window\}\n.*?(?=\n##)", ""),),
        file="handbook.md",
        section="refund-window",
    )
    friendly = "friendly and plain"
    yield _harmless(slug, "a synonym", (friendly, "kind and plain"))
    yield _harmless(
        slug,
        "sentences reordered",
        (r", friendly and plain\. Quotes", ". Quotes"),
        ("language of the handbook\\.", "language of the handbook. Be friendly and plain."),
    )


def _harmless(slug: str, name: str, *edits: tuple[str, str]) -> Change:
    return Change(slug, name, edits, is_worse=False)
