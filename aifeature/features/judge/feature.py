"""Judgement of another feature's output by criteria, for evaluations. Not offered to users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from aifeature.spec import Feature, Guards, Limits, Moderation, Policy, Route


class Criterion(BaseModel):
    """A question about the output, with the meaning of its scores."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=60)
    rubric: str = Field(min_length=1, max_length=2_000)


class Exhibit(BaseModel):
    """An output with what is needed to judge it."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(min_length=1, max_length=2_000, description="The task of the feature.")
    given: str = Field(max_length=500_000, description="Its input, as JSON.")
    reference: str = Field(default="", max_length=20_000, description="A right answer.")
    output: str = Field(min_length=1, max_length=100_000, description="Its output, as JSON.")
    criteria: list[Criterion] = Field(min_length=1, max_length=8)


class Score(BaseModel):
    """The score of one criterion."""

    model_config = ConfigDict(extra="forbid")

    criterion: str = Field(description="The name of the criterion, exactly as given.")
    reason: str = Field(
        min_length=1,
        max_length=600,
        description="Two sentences at most: the evidence for the score, from input and output.",
    )
    score: int = Field(ge=1, le=5, description="1 to 5, by the rubric of the criterion.")


class Judgement(BaseModel):
    """A score for each criterion."""

    model_config = ConfigDict(extra="forbid")

    scores: list[Score] = Field(
        min_length=1, max_length=8, description="One for each criterion, in the given order."
    )


def check(exhibit: Exhibit, judgement: Judgement) -> Iterator[str]:
    """Yield the criteria that have no score, or several, and scores of unknown criteria."""
    names = [criterion.name for criterion in exhibit.criteria]
    found = Counter(score.criterion for score in judgement.scores)
    for name in names:
        if found[name] != 1:
            yield f"scores: the criterion {name!r} needs exactly one score"
    for name in found.keys() - set(names):
        yield f"scores: there is no criterion {name!r}"


FEATURE = Feature(
    slug="judge",
    title="Judge",
    description="Scores outputs of other features by criteria.",
    input_model=Exhibit,
    output_model=Judgement,
    prompt_version="v2",
    untrusted=frozenset({"given", "reference", "output"}),
    # A judge of the tier above the judged models; the next one answers if it refuses.
    routes=(Route(models=("claude-sonnet-5-5", "claude-opus-5-5")),),
    internal=True,
    check=check,
    # Cases of suites are hostile on purpose, and no user reads a judgement.
    guards=Guards(
        injection=Policy.OFF,
        foul_language=Policy.OFF,
        moderation=Moderation.NEVER,
    ),
    limits=Limits(
        deadline_s=300,
        call_deadline_s=120,
        user_daily_budget_usd=Decimal(10),
        daily_budget_usd=Decimal(20),
    ),
)
