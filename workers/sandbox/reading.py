"""One prompt, read once: each method's result is worked out when a field first needs it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from workers.sandbox import cues as cue
from workers.sandbox import document
from workers.sandbox.judge import Judgement, judge
from workers.sandbox.retrieve import Finding, retrieve
from workers.sandbox.summarize import Lengths, Summarizer, facts, summary

if TYPE_CHECKING:
    from workers.sandbox.prompt import Prompt

UNKNOWN = "I don't know: the text given does not say."
SPARSE = "The text holds too little to summarise."


class Reading:
    """What the methods make of a prompt."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.source = prompt.source
        self.cues = cue.read(prompt.instructions)
        self.lengths = Lengths()
        self._used: frozenset[int] = frozenset()

    @cached_property
    def summarizer(self) -> Summarizer:
        return Summarizer(self.source)

    @cached_property
    def finding(self) -> Finding:
        """The passages that answer the question."""
        return retrieve(self.prompt.question, self.source)

    @cached_property
    def judgement(self) -> Judgement:
        """The candidate held against its source."""
        return judge(self.prompt.candidate, self.source, self.prompt.reference)

    def asked(self, description: str) -> cue.Cues:
        """The cues of the instructions, sharpened by those of a field's description."""
        own = cue.read(description)
        return replace(
            self.cues,
            sentences=own.sentences or self.cues.sentences,
            items=own.items or self.cues.items,
            words=own.words or self.cues.words,
            numbers=own.numbers or self.cues.numbers,
            names=own.names or self.cues.names,
            decisions=own.decisions or self.cues.decisions,
            coverage=own.coverage or self.cues.coverage,
        )

    def summary(self, description: str = "") -> str:
        """A summary of the source; its sentences are not given again as facts."""
        if self.cues.sparse and self.summarizer.is_sparse:
            return SPARSE
        asked = self.asked(description)
        text, self._used = summary(self.summarizer, asked, lengths=self.lengths)
        return text

    def facts(self, count: int, description: str = "") -> list[str]:
        """Telling sentences beyond those of the summary."""
        if self.cues.sparse and self.summarizer.is_sparse:
            return []
        asked = self.asked(description)
        return facts(self.summarizer, count, asked, self._used, self.lengths)

    def answer(self, description: str = "") -> str:
        """The answer to the question, from the source or not at all."""
        if not self.prompt.question:
            return self.summary(description)
        if not self.finding.known:
            return self.cues.unknown or UNKNOWN
        asked = self.asked(description)
        count = asked.sentences or 2
        best = self.finding.hits[0]
        chosen = best.sentences[:count]
        text = document.inline(best.section.text)
        in_order = sorted(chosen, key=lambda s: text.find(s[:20]))
        return " ".join(in_order) or best.section.title

    def citations(self) -> list[str]:
        """The ids of the sections an answer rests on."""
        return [hit.section.id for hit in self.finding.hits] if self.finding.known else []
