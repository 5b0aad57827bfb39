"""What a feature is: everything about it that is code, frozen. No Django here.

What an operator may change while it runs (stage, switch, budgets, active prompt) starts with the
values given here and then lives in `aifeature.models.FeatureControl`.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    field_validator,
    model_validator,
)

MAX_RETENTION_DAYS = 3650
"""Longest that inputs and outputs may be kept: ten years."""


class Purpose(StrEnum):
    """Why a provider call is made; every one of them is paid from the one ledger."""

    GENERATION = "generation"
    REPAIR = "repair"
    ESCALATION = "escalation"
    CHUNK = "chunk"
    MODERATION = "moderation"
    JUDGE = "judge"
    POC = "poc"
    EVAL = "eval"
    PROBE = "probe"
    """A tiny call of our own that finds out whether a model answers again."""


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Made once: it takes 0.2 ms, and each call of a feature sends it. Nobody changes it."""
    return model.model_json_schema()


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(_Frozen):
    """Which models answer inputs up to a size, in the order they are tried."""

    models: tuple[str, ...] = Field(min_length=1)
    """Model ids of `workers.inference.catalog`. The first answers; the next ones are tried when
    an answer stays unusable."""

    up_to_bytes: int | None = Field(default=None, gt=0)
    """Largest prompt in UTF-8 bytes this route takes. None: any."""


class Limits(_Frozen):
    """What one job may take. Budgets and rates of users are set per feature in admin."""

    max_input_bytes: int = Field(default=1_000_000, gt=0)
    """Largest input, as UTF-8 bytes of its canonical JSON; above it the API answers 413."""

    deadline_s: int = Field(default=600, gt=0, le=3000)
    """Seconds from submission after which a job that has not ended fails."""

    call_deadline_s: float = Field(default=120, gt=0, le=600)
    """Seconds one provider call may take in all."""

    max_tries: int = Field(default=5, ge=1, le=20)
    """How often a job is run before it fails as `poison`."""

    retention_days: int = Field(default=30, ge=1, le=MAX_RETENTION_DAYS)
    """Days after a job's end at which its input, its result and the content of its calls are
    deleted. Its figures stay."""

    user_daily_budget_usd: Decimal | None = Field(default=Decimal(1), ge=0)
    """What one user may be charged for this feature in one UTC day. None: no cap."""

    user_daily_spend_usd: Decimal | None = Field(default=None, ge=0)
    """What one user's calls of this feature may cost us in one UTC day, charged or not: repairs and
    what they cancelled count too. None: twice `user_daily_budget_usd`."""

    daily_budget_usd: Decimal | None = Field(default=Decimal(50), ge=0)
    """What the feature may spend in one UTC day. None: no cap."""

    requests_per_minute: Decimal | None = Field(default=Decimal(30), gt=0)
    """How often one user may submit; above it the API answers 429. None: as often as they like."""

    tokens_per_minute: int | None = Field(default=2_000_000, gt=0)
    """Input and output tokens of one user, reserved at their upper bound (a byte of text counts as
    a token) and given back when the call ends; above it jobs wait. None: any number."""

    user_in_flight: int | None = Field(default=8, gt=0)
    """Calls of one user at the same time; further jobs wait. None: any number."""


class Feature(_Frozen):
    """One AI feature. The prompts stand beside it as `v1.md`, `v2.md`, ..."""

    slug: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Its name in addresses, tables and logs, and the name of its folder."""

    title: str
    description: str
    """One sentence for the people who use it."""

    input_model: type[BaseModel]
    """Checks and documents the input; its JSON Schema makes the form."""

    output_model: type[BaseModel]
    """Checks the answer; its JSON Schema is sent to the provider."""

    prompt_version: str = Field(pattern=r"^v[1-9][0-9]*$")
    """The version that answers until an operator activates another."""

    routes: tuple[Route, ...] = Field(min_length=1)
    """Tried from the first; the first whose size fits the prompt is taken."""

    stream_field: str | None = None
    """The output field whose text is streamed to the reader as it grows. None: not streamed."""

    falls_back: bool = True
    """Whether the next model of the route is asked at once while the circuit breaker of one is
    open. Else jobs wait until it lets a probe through."""

    limits: Limits = Limits()

    @field_validator("routes")
    @classmethod
    def _last_route_takes_all(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        sizes = [route.up_to_bytes for route in routes]
        if sizes[-1] is not None or None in sizes[:-1]:
            raise ValueError("the last route, and only the last, must have up_to_bytes=None")
        if any(a >= b for a, b in itertools.pairwise(sizes) if a and b):
            raise ValueError("routes must be ordered by up_to_bytes, smallest first")
        return routes

    @field_validator("input_model", "output_model")
    @classmethod
    def _has_a_schema(cls, model: type[BaseModel]) -> type[BaseModel]:
        try:
            _schema(model)
        except PydanticUserError as error:
            raise ValueError(f"{model.__name__} has no JSON Schema: {error.message}") from None
        return model

    @model_validator(mode="after")
    def _stream_field_exists(self) -> Feature:
        if self.stream_field and self.stream_field not in self.output_schema.get("properties", {}):
            raise ValueError(f"stream_field {self.stream_field!r} is no field of the output model")
        return self

    @property
    def models(self) -> frozenset[str]:
        """Every model that any route may call."""
        return frozenset(model for route in self.routes for model in route.models)

    @property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of the output."""
        return _schema(self.output_model)

    def route(self, prompt_bytes: int) -> Route:
        """The first route that takes a prompt of this many UTF-8 bytes."""
        for route in self.routes:
            if route.up_to_bytes is None or prompt_bytes <= route.up_to_bytes:
                return route
        raise AssertionError("the last route takes any size")  # validated above
