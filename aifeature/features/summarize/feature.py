"""Summary of a long thread or document in two sentences, with its key facts."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from aifeature.spec import Feature, Limits, Route


class Document(BaseModel):
    """The text to summarise."""

    model_config = ConfigDict(extra="forbid")

    document: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        min_length=1,
        max_length=400_000,
        title="Document",
        description="The text of a thread, ticket or document.",
        json_schema_extra={"format": "textarea"},
    )


class Summary(BaseModel):
    """A summary and what it rests on."""

    model_config = ConfigDict(extra="forbid")

    summary: str = Field(
        min_length=1,
        max_length=1_500,
        description="The summary, two sentences, in the document's language.",
    )
    key_facts: list[Annotated[str, StringConstraints(min_length=1, max_length=400)]] = Field(
        max_length=8,
        description="Key facts of the document: names, numbers, dates, decisions. "
        "Empty when it states none.",
    )


FEATURE = Feature(
    slug="summarize",
    title="Summarise a document",
    description="Two sentences and the key facts of a long thread or document.",
    input_model=Document,
    output_model=Summary,
    prompt_version="v3",
    routes=(
        # The small model is good enough for a page; a long document needs the larger one first.
        Route(name="short", models=("claude-haiku-5-5", "claude-sonnet-5-5"), up_to_bytes=60_000),
        Route(name="long", models=("claude-sonnet-5-5", "claude-opus-5-5")),
    ),
    stream_field="summary",
    limits=Limits(
        deadline_s=300,
        call_deadline_s=120,
        # The largest input reserves five dollars at the most expensive model of its route.
        user_daily_budget_usd=Decimal(10),
        # A user may spend twice their charge cap, and five such users do not stop the feature.
        daily_budget_usd=Decimal(100),
    ),
)
