"""Schemas of the API. The names of their fields are a contract."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from aifeature.models import Status
from aifeature.services.feedback import reasons, votes


class FieldError(Schema):
    """The problem of one field."""

    field: str = Field(description="Dotted path of the field, or the parameter's name.")
    message: str


class Problem(Schema):
    """Problem details of a refused request (RFC 9457)."""

    type: str = Field(description="A URN that ends in the code.")
    title: str
    status: int
    detail: str = Field(description="A sentence for the user.")
    code: str = Field(description="Stable name of the problem. Programs should use this.")
    reference: str = Field(
        default="", description="Reference of a server error. Quote it when you ask for help."
    )
    errors: list[FieldError] = Field(
        default_factory=list, description="Omitted if no field is to blame."
    )


class SubmissionBody(Schema):
    """The body of a submission. It has no other fields."""

    model_config = ConfigDict(extra="forbid")

    input: dict[str, Any] = Field(description="Must match the feature's `input_schema`.")


class FeatureLinks(Schema):
    """Links of a feature."""

    submit: str


class FeatureOut(Schema):
    """A feature that you may use."""

    slug: str
    title: str
    description: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of a submission's `input`.")
    output_schema: dict[str, Any] = Field(description="JSON Schema of a job's `result`.")
    max_input_bytes: int = Field(description="Largest `input`, as UTF-8 bytes of compact JSON.")
    links: FeatureLinks


class FeatureList(Schema):
    """The features that you may use."""

    items: list[FeatureOut]


class JobError(Schema):
    """Reason why a job did not succeed or, while it is queued, why it waits."""

    code: str
    message: str


class Usage(Schema):
    """Tokens of the answer, also before its approval; zero while there is none."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


class JobOut(Schema):
    """A job."""

    id: UUID
    feature: str
    status: Status
    created_at: datetime
    started_at: datetime | None = Field(description="When a worker first claimed it.")
    finished_at: datetime | None
    approval_expires_at: datetime | None = Field(
        description="Set while the status is `needs_approval`: a person decides about the answer"
        " before you can read it. At this time the job fails if nobody has decided."
    )
    result: dict[str, Any] | None = Field(
        description="Set if, and only if, the job succeeded and its content was not deleted."
    )
    partial_text: str | None = Field(
        description="Part of the answer that you were shown before you cancelled, if any."
    )
    degraded: bool = Field(
        description="Whether `result` is a simple answer, made without a model while the provider"
        " was not available. It is free of charge."
    )
    error: JobError | None
    model: str | None = Field(
        description="The model whose answer was accepted, or cancelled after text was shown."
    )
    prompt_version: str | None
    usage: Usage
    cost_usd: str = Field(
        pattern=r"^\d+\.\d{6}$",
        description="US dollars charged for the accepted answer, or for the partial text.",
    )
    attempts: int = Field(description="Calls made to the provider so far.")
    links: dict[str, str] = Field(
        description="`self`; `events`, its live events, until it ends;"
        " `cancel` while it can still be cancelled; `feedback` when it can be rated."
    )


class JobPage(Schema):
    """A page of your jobs, newest first."""

    items: list[JobOut]
    next: str | None = Field(description="URL of the next page; null on the last page.")


def _whole_number(value: Any) -> Any:
    """Refuse `true` and `1.0`, which Python takes for 1."""
    if type(value) is not int:
        raise PydanticCustomError("rating", "Input should be 1 or -1")
    return value


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class FeedbackBody(BaseModel):
    """The body of a rating. It has no other fields."""

    model_config = ConfigDict(extra="forbid")

    rating: Annotated[Literal[1, -1], BeforeValidator(_whole_number)] = Field(
        description="1: thumbs up, -1: thumbs down."
    )
    reasons: list[str] = Field(
        default_factory=list,
        max_length=len(reasons.ALL),
        description="; ".join(
            f"with {rating}: {', '.join(f'`{slug}`' for slug in words)}"
            for rating, words in reasons.OF.items()
        ),
    )
    comment: str = Field(
        default="", description=f"At most {votes.MAX_COMMENT:,} characters. Optional."
    )


class FeedbackOut(Schema):
    """Your rating of a job."""

    job: UUID
    rating: int
    reasons: list[str]
    comment: str = Field(
        description="Without personal data. Deleted together with the job's content."
    )
    created_at: datetime
    changed_at: datetime


class SignalBody(BaseModel):
    """The body of a signal. It has no other fields."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["copied", "edited", "regenerated", "abandoned", "read"]


class OutcomeBody(BaseModel):
    """The body of an outcome of a job. It has no other fields."""

    model_config = ConfigDict(extra="forbid")

    name: _Name = Field(description="A name of your own, such as `ticket_closed`.")


class UserOutcomeBody(BaseModel):
    """The body of an outcome without a job. It has no other fields."""

    model_config = ConfigDict(extra="forbid")

    name: _Name = Field(description="A name of your own, such as `ticket_closed`.")
    feature: _Name = Field(description="The slug of a feature.")


class DayUsage(Schema):
    """Requests that you sent on one UTC day."""

    day: date
    requests: int


class RateLeft(Schema):
    """Your remaining rate, as in the `RateLimit` headers."""

    limit: int = Field(description="Requests within the window.")
    window_s: int
    remaining: int
    reset_s: int = Field(description="Seconds until all of them are available again.")


class FeatureUsageOut(Schema):
    """Your usage of one feature, and what is left of your limits."""

    feature: str
    requests_today: int
    by_day: list[DayUsage] = Field(description="The last 30 UTC days, oldest first.")
    charged_today_usd: str = Field(pattern=r"^\d+\.\d{6}$", description="US dollars.")
    allowance_used: float | None = Field(
        ge=0, le=1, description="Share of today's allowance that is used. Null: there is no limit."
    )
    about_left: int | None = Field(
        description="Estimate of how many more requests today's allowance admits, at the usual"
        " charge of yours. Null: there is no limit, or you sent too few."
    )
    rate: RateLeft | None = Field(description="Null: there is no limit, or you are blocked.")
    refused: JobError | None = Field(
        description="Why a submission would be refused now, apart from the rate. Null: it would"
        " not be."
    )


class UsageOut(Schema):
    """Your usage of the features that you may use."""

    resets_at: datetime = Field(description="When the next UTC day begins.")
    items: list[FeatureUsageOut]
