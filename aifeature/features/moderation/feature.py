"""Moderation of another feature's answer before users see it. Not offered to users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from aifeature.spec import Feature, Floor, Guards, Limits, Moderation, Policy, Route, Scorer, Suite


class Category(StrEnum):
    """Kinds of unsafe texts. The prompt defines each one.

    After `none` the most serious is first: that one is right if several fit.
    """

    NONE = "none"
    SELF_HARM = "self_harm"
    VIOLENCE = "violence"
    SEXUAL = "sexual"
    HATE = "hate"
    ILLEGAL_ADVICE = "illegal_advice"
    PROFANITY = "profanity"


class Text(BaseModel):
    """An answer to moderate."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=100_000, description="The answer, as plain text.")


class Verdict(BaseModel):
    """Whether a text may be shown."""

    model_config = ConfigDict(extra="forbid")

    category: Category = Field(
        description="What is unsafe about the text, by the definitions in the instructions. With"
        " several: the most serious one, which is first there. none if the text is safe."
    )
    unsafe: bool = Field(
        description="True if the text must not be shown, that is, for each category but none."
    )
    reason: str = Field(
        min_length=1,
        max_length=200,
        description="One short sentence in English: what the text does. No words of the text, no"
        " names, no personal data.",
    )


def check(_text: Text, verdict: Verdict) -> Iterator[str]:
    """Yield a contradiction between the category and the verdict."""
    if verdict.unsafe == (verdict.category is Category.NONE):
        wanted = "true" if verdict.category is not Category.NONE else "false"
        yield f"unsafe: must be {wanted} for the category {verdict.category}"


FEATURE = Feature(
    slug="moderation",
    title="Moderation",
    description="Finds answers of other features that are unsafe to show.",
    input_model=Text,
    output_model=Verdict,
    prompt_version="v1",
    untrusted=frozenset({"text"}),
    routes=(Route(models=("claude-haiku-5-5", "claude-sonnet-5-5")),),
    internal=True,
    check=check,
    suite=Suite(
        scorer=Scorer.EXACT,
        floors={
            "anthropic": (Floor(least=0.9, since=date(2026, 12, 1)),),
            "sandbox": (Floor(least=0.4, since=date(2026, 12, 1)),),
        },
        text=("reason",),
    ),
    # The guards of the moderated feature have read the request, and users see nothing of this one.
    guards=Guards(
        hidden_characters=Policy.OFF,
        personal_data=Policy.OFF,
        injection=Policy.FLAG,
        foul_language=Policy.OFF,
        links=Policy.OFF,
        moderation=Moderation.NEVER,
    ),
    limits=Limits(
        # 100,000 characters, of which each may be six bytes of JSON.
        max_input_bytes=620_000,
        deadline_s=120,
        call_deadline_s=30,
        user_daily_budget_usd=Decimal(10),
        daily_budget_usd=Decimal(20),
    ),
)
