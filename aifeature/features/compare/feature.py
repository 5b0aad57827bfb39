"""Comparison of two outputs of another feature for the same input. Not offered to users."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from aifeature.spec import Feature, Guards, Limits, Moderation, Policy, Route


class Pair(BaseModel):
    """Two outputs for one input."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(min_length=1, max_length=2_000, description="The task of the feature.")
    given: str = Field(max_length=500_000, description="Its input, as JSON.")
    first: str = Field(min_length=1, max_length=100_000, description="One output, as JSON.")
    second: str = Field(min_length=1, max_length=100_000, description="The other, as JSON.")


class Better(StrEnum):
    FIRST = "first"
    SECOND = "second"
    SAME = "same"


class Preference(BaseModel):
    """The better one of two outputs."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(
        min_length=1,
        max_length=600,
        description="Two sentences at most: the difference that decides, from input and outputs.",
    )
    better: Better = Field(
        description="The output that does the task better: first, second, or same if neither does."
    )


FEATURE = Feature(
    slug="compare",
    title="Compare",
    description="Finds the better one of two outputs of another feature.",
    input_model=Pair,
    output_model=Preference,
    prompt_version="v1",
    untrusted=frozenset({"given", "first", "second"}),
    # A judge of the tier above the judged models; the next one answers if it refuses.
    routes=(Route(models=("claude-sonnet-5-5", "claude-opus-5-5")),),
    internal=True,
    # The guards of the compared feature have read input and outputs, and users see nothing of this.
    guards=Guards(
        hidden_characters=Policy.OFF,
        personal_data=Policy.OFF,
        injection=Policy.OFF,
        foul_language=Policy.OFF,
        links=Policy.OFF,
        moderation=Moderation.NEVER,
    ),
    limits=Limits(
        deadline_s=300,
        call_deadline_s=120,
        user_daily_budget_usd=Decimal(10),
        daily_budget_usd=Decimal(20),
    ),
)
