"""What the API answers, as schemas; the names of their fields are a contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field

from aifeature.models import Status


class FieldError(Schema):
    """What is wrong with one field."""

    field: str = Field(description="Dotted path of the field, or the parameter's name.")
    message: str


class Problem(Schema):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(description="A URN that ends in the code.")
    title: str
    status: int
    detail: str = Field(description="A sentence for the user.")
    code: str = Field(description="Stable name of the problem; branch on this.")
    reference: str = Field(
        default="", description="Names a fault of ours; give it when you ask for help."
    )
    errors: list[FieldError] = Field(
        default_factory=list, description="Left out when no field is to blame."
    )


class SubmissionBody(Schema):
    """What a submission holds: the feature's input, and nothing else."""

    model_config = ConfigDict(extra="forbid")

    input: dict[str, Any] = Field(description="Must fit the feature's `input_schema`.")


class FeatureLinks(Schema):
    """Where to go from a feature."""

    submit: str


class FeatureOut(Schema):
    """A feature this user may use."""

    slug: str
    title: str
    description: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of a submission's `input`.")
    output_schema: dict[str, Any] = Field(description="JSON Schema of a job's `result`.")
    max_input_bytes: int = Field(description="Largest `input`, as UTF-8 bytes of compact JSON.")
    links: FeatureLinks


class FeatureList(Schema):
    """The features this user may use."""

    items: list[FeatureOut]


class JobError(Schema):
    """Why a job did not succeed, or, while it is queued, why it waits."""

    code: str
    message: str


class Usage(Schema):
    """Tokens of the accepted answer; all zero while there is none."""

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
    started_at: datetime | None = Field(description="When a worker first took it.")
    finished_at: datetime | None
    result: dict[str, Any] | None = Field(
        description="Set exactly when the job succeeded and its content has not been deleted."
    )
    partial_text: str | None = Field(
        description="What you had been shown of the answer when you cancelled it, if anything."
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
        description="`self`; `events`, its live text, while it has not ended;"
        " `cancel` while it can still be cancelled."
    )


class JobPage(Schema):
    """Some of this user's jobs, newest first."""

    items: list[JobOut]
    next: str | None = Field(description="Address of the next page, or null on the last one.")
