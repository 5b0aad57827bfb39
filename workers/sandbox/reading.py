"""One prompt and the results of the methods on it, each computed when first used."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cached_property

from workers.sandbox import cues as cue
from workers.sandbox import harms
from workers.sandbox import text as texts
from workers.sandbox.judge import Judgement, judge
from workers.sandbox.prompt import Prompt
from workers.sandbox.retrieve import Finding, retrieve
from workers.sandbox.summarize import Lengths, Summarizer, facts, summary

UNKNOWN = {
    "en": "I don't know: the text given does not say.",
    "de": "Das weiß ich nicht: Der Text sagt es nicht.",
    "fr": "Je ne sais pas : le texte ne le dit pas.",
    "es": "No lo sé: el texto no lo dice.",
    "it": "Non lo so: il testo non lo dice.",
    "pt": "Não sei: o texto não o diz.",
    "nl": "Dat weet ik niet: de tekst zegt het niet.",
    "pl": "Nie wiem: tekst tego nie podaje.",
    "tr": "Bilmiyorum: metin bunu söylemiyor.",
    "ru": "Я не знаю: в тексте этого нет.",
    "ja": "分かりません。本文に記載がありません。",
    "zh": "我不知道：文中没有说明。",  # noqa: RUF001
}
"""The answer to a question without one, by its language. Others get the English one."""

ABOUT = {
    "en": "The text is mostly about the following things: {}.",
    "de": "In dem Text geht es vor allem um die folgenden Dinge: {}.",
    "fr": "Le texte parle surtout des choses suivantes : {}.",
    "es": "El texto trata sobre todo de las cosas siguientes: {}.",
    "it": "Il testo parla soprattutto delle cose seguenti: {}.",
    "pt": "O texto trata principalmente das seguintes coisas: {}.",
    "nl": "De tekst gaat vooral over de volgende dingen: {}.",
    "pl": "Tekst dotyczy przede wszystkim następujących rzeczy: {}.",
    "tr": "Metin çoğunlukla şu konulardan söz ediyor: {}.",
    "ru": "В тексте говорится в основном о следующем: {}.",  # noqa: RUF001
    "ja": "この文章は主に次のことについて述べています: {}。",
    "zh": "本文主要讲述以下内容: {}。",
}
"""The text in a demanded language that is not the material's. The sandbox cannot translate."""

TERMS = 4

SPARSE = "The text holds too little to summarise."

_JSON = json.JSONDecoder()

MAX_INSTRUCTIONS = 20_000
"""Characters of instructions that are searched for cues."""


class Reading:
    """The results for one prompt."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.question = prompt.question
        self.source = prompt.source
        self.candidate = prompt.candidate
        self.cues = cue.read(prompt.instructions[:MAX_INSTRUCTIONS])
        self.lengths = Lengths()
        self._used: frozenset[int] = frozenset()

    def translated(self, text: str, description: str = "") -> str:
        """Return the text in the language that its field or the instructions demand."""
        demanded = self.cues.language or cue.read(description).language
        if not demanded or texts.language(text) in ("", demanded):
            return text
        return ABOUT[demanded].format(", ".join(Summarizer(text).top_terms(TERMS)))

    @cached_property
    def summarizer(self) -> Summarizer:
        return Summarizer(self.source)

    @cached_property
    def finding(self) -> Finding:
        """Return the passages that answer the question."""
        return retrieve(self.question, self.source)

    @cached_property
    def judgement(self) -> Judgement:
        """Return the judgement of the candidate by its source."""
        return judge(self.candidate, self.source, self.prompt.reference)

    @cached_property
    def named(self) -> list[str]:
        """Return the names of the objects, such as criteria, in a list that the prompt gives."""
        text = self.prompt.instructions[:MAX_INSTRUCTIONS]
        for start in re.finditer(r"\[\s*\{", text):
            try:
                found, _ = _JSON.raw_decode(text, start.start())
            except ValueError:
                continue
            named = [each["name"] for each in found if isinstance(each, dict) and "name" in each]
            names = [name for name in named if isinstance(name, str)]
            if len(names) == len(found):
                return names
        return []

    @cached_property
    def harms(self) -> list[str]:
        """Return the kinds of harm in the source, the most serious first."""
        return harms.find(self.source)

    def demands(self, description: str) -> cue.Cues:
        """Return the cues of the instructions, replaced by those of a field's description."""
        own = cue.read(description)
        return replace(
            self.cues, **{kind: getattr(own, kind) for kind in cue.KINDS if getattr(own, kind)}
        )

    def summary(self, description: str = "") -> str:
        """Return a summary of the source; `facts` does not repeat its sentences."""
        if self.cues.sparse and self.summarizer.is_sparse:
            return SPARSE
        demands = self.demands(description)
        text, self._used = summary(self.summarizer, demands, lengths=self.lengths)
        return text

    def facts(self, count: int, description: str = "") -> list[str]:
        """Return sentences beyond those of the summary."""
        if self.cues.sparse and self.summarizer.is_sparse:
            return []
        demands = self.demands(description)
        return facts(self.summarizer, count, demands, self._used, self.lengths)

    def answer(self, description: str = "") -> str:
        """Return the answer to the question from the source, or that it has none."""
        if not self.question:
            return self.summary(description)
        best = self.finding.hit
        if best is None or not self.finding.known:
            return self.cues.unknown or UNKNOWN.get(
                self.cues.language or texts.language(self.question), UNKNOWN["en"]
            )
        chosen = best.sentences[: self.demands(description).sentences or 2]
        # Marks may stand within a sentence of the section, but seldom within its first words.
        text = " ".join(best.section.text.split())
        return " ".join(sorted(chosen, key=lambda s: text.find(s[:12]))) or best.section.title

    def citations(self) -> list[str]:
        """Return the ids of the sections that the answer uses."""
        hit = self.finding.hit
        return [hit.section.id] if hit and self.finding.known else []
