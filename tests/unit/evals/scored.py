"""A feature with every part that a suite can expect. Tests copy this file to a folder."""

from __future__ import annotations

import os
import re
import time
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, Field

from aifeature.spec import Citation, Feature, Floor, Route, Scorer, Source, Suite


class Question(BaseModel):
    question: str = Field(min_length=1)
    place: str = ""


class Answer(BaseModel):
    answer: str
    kind: Literal["a", "b"] = "a"
    facts: list[str] = []
    count: int = Field(default=0, ge=0, le=5)
    sections: list[Citation] = []


def acts(_question: Question, _answer: Answer, act: str) -> Any:
    """Do what the case names."""
    match act:
        case "raises":
            raise KeyError(act)
        case "exits":
            os._exit(3)
        case "holds":
            re.match(r"(a+)+$", "a" * 45 + "b")
        case "sleeps":
            time.sleep(60)
        case "false":
            return False
        case "none":
            return None
    return "" if act == "passes" else act


def plain(question: Question) -> Answer:
    """Answer with the question, or do what it names."""
    acts(question, Answer(answer=""), question.question)
    return Answer(answer=question.question)


FEATURE = Feature(
    slug="scored",
    title="Scored",
    description="Answers.",
    input_model=Question,
    output_model=Answer,
    prompt_version="v1",
    routes=(Route(models=("claude-haiku-5-5",)),),
    sources=lambda: {name: Source(id=name, title=name, text="So.") for name in ("s-1", "s-2")},
    plain=plain,
    suite=Suite(
        scorer=Scorer.KEYWORD,
        floors={
            "anthropic": (Floor(least=0.5, since=date(2026, 11, 1)),),
            "sandbox": (Floor(least=0.5, since=date(2026, 11, 1)),),
        },
        text=("answer", "facts"),
        functions={"acts": acts},
    ),
)
