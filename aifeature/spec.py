"""Specification of a feature: everything that is code, frozen. Does not import Django.

Values that operators may change while it runs (stage, switch, budgets, active prompt) start with
the values here and are then stored in `aifeature.models.FeatureControl`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

MAX_RETENTION_DAYS = 3650
"""Longest retention of inputs and outputs: ten years."""


class Purpose(StrEnum):
    """Purpose of a provider call. Calls of every purpose are in the ledger."""

    GENERATION = "generation"
    REPAIR = "repair"
    ESCALATION = "escalation"
    CHUNK = "chunk"
    MODERATION = "moderation"
    JUDGE = "judge"
    POC = "poc"
    EVAL = "eval"
    PROBE = "probe"
    """A tiny call of no job that tests whether a model answers again."""


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema, cached: it takes 0.2 ms and each call sends it. Do not modify it."""
    return model.model_json_schema()


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(_Frozen):
    """Models for some of the jobs. A job takes the first route whose conditions all hold."""

    name: str = Field(default="default", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Shown to operators with each call."""

    models: tuple[str, ...] = Field(min_length=1)
    """Model ids of `workers.inference.catalog`, cheapest first. The next one is tried if the answer
    of one stays unusable, if it refuses, or if its circuit breaker is open."""

    up_to_bytes: int | None = Field(default=None, gt=0)
    """Condition: the user turn has at most this many UTF-8 bytes."""

    languages: frozenset[str] = frozenset()
    """Condition: the language of the input is one of these (ISO 639-1). Empty: any."""

    stages: frozenset[str] = frozenset()
    """Condition: the feature is at one of these stages, such as `staff`. Empty: any."""

    below_budget_share: float | None = Field(default=None, gt=0, le=1)
    """Condition: less than this share of the user's budget for the day is left."""

    @field_serializer("languages", "stages")
    def _in_order(self, values: frozenset[str]) -> list[str]:
        """Return the values in order: prompts are hashed with their routes."""
        return sorted(values)

    @property
    def only_by_size(self) -> bool:
        """Whether the size is the only possible condition."""
        return not (self.languages or self.stages or self.below_budget_share)

    @property
    def takes_any(self) -> bool:
        """Whether the route has no condition."""
        return self.only_by_size and self.up_to_bytes is None


class Limits(_Frozen):
    """Limits of one feature. Operators can override budgets and rates in admin."""

    max_input_bytes: int = Field(default=1_000_000, gt=0)
    """Largest input, in UTF-8 bytes of its canonical JSON; above it the API returns 413."""

    deadline_s: int = Field(default=600, gt=0, le=3000)
    """Seconds from submission until an open job fails."""

    call_deadline_s: float = Field(default=120, gt=0, le=600)
    """Longest duration of one provider call, in seconds."""

    max_tries: int = Field(default=5, ge=1, le=20)
    """Tries after which a job fails with the code `poison`."""

    approval_expires_s: int = Field(default=3 * 86_400, gt=0, le=30 * 86_400)
    """Seconds that a person has to decide about an answer that needs approval. Then the job fails.
    The deadline does not count meanwhile."""

    retention_days: int = Field(default=30, ge=1, le=MAX_RETENTION_DAYS)
    """Days from a job's end until its input, its result and the content of its calls are deleted.
    Its figures stay."""

    user_daily_budget_usd: Decimal | None = Field(default=Decimal(1), ge=0)
    """Most that one user may be charged for this feature in one UTC day. None: no cap."""

    user_daily_spend_usd: Decimal | None = Field(default=None, ge=0)
    """Most that one user's calls of this feature may cost in one UTC day, charged or not: repairs
    and cancelled calls count too. None: twice `user_daily_budget_usd`."""

    daily_budget_usd: Decimal | None = Field(default=Decimal(50), ge=0)
    """Most that the feature may spend in one UTC day. None: no cap."""

    requests_per_minute: Decimal | None = Field(default=Decimal(30), gt=0)
    """Submissions of one user; above it the API returns 429. None: no limit."""

    tokens_per_minute: int | None = Field(default=2_000_000, gt=0)
    """Input and output tokens of one user, reserved at their upper bound (a byte of text counts as
    a token) and returned when the call ends; above it jobs wait. None: no limit."""

    user_in_flight: int | None = Field(default=8, gt=0)
    """Concurrent calls of one user; above it jobs wait. None: no limit."""


class Policy(StrEnum):
    """The consequence of a finding of a guard. Each step includes those before it."""

    OFF = "off"
    """Nothing: it is not recorded."""

    FLAG = "flag"
    """The audit log has a row."""

    TIGHTEN = "tighten"
    """Stricter rules hold for the answer: no streaming, no links, and moderation."""

    REFUSE = "refuse"
    """The request or the answer is refused, with a sentence for the user."""


class Moderation(StrEnum):
    """Which answers the feature `moderation` reads before users do."""

    NEVER = "never"
    TIGHTENED = "tightened"
    """Answers to requests that a guard tightened."""
    ALWAYS = "always"


class Guards(_Frozen):
    """Guards of one feature.

    Hidden characters, personal data, active links and HTML never stay. A policy decides what else
    follows from a finding.
    """

    hidden_characters: Policy = Policy.FLAG
    """Characters in the input that no reader sees: control, zero-width, direction and tag."""

    personal_data: Policy = Policy.FLAG
    """Listed kinds of personal data, in the input or in the answer."""

    injection: Policy = Policy.TIGHTEN
    """Sentences of the input that try to give the model orders."""

    foul_language: Policy = Policy.FLAG
    """Insults and obscene words in the input."""

    links: Policy = Policy.FLAG
    """Links, images and HTML in the answer that are not of the feature's knowledge."""

    moderation: Moderation = Moderation.TIGHTENED
    """Which answers a cheap model reads before users do."""

    languages: tuple[str, ...] = ()
    """Languages that inputs and answers have (ISO 639-1).

    An input in one of them gets its answer in the same one. Empty: no language is checked.
    """

    from_input: bool = False
    """Whether the answer is made from words of the input, as a summary is. One that shares almost
    none of them is off topic."""

    fallback: str = Field(
        default="We cannot show this answer, because it may be unsafe. Please try other words.",
        min_length=1,
        max_length=300,
    )
    """The sentence that users get instead of an unsafe answer."""


class Kind(StrEnum):
    """The kind of an example."""

    NORMAL = "normal"
    HOSTILE = "hostile"
    HIGH_STAKES = "high_stakes"


class Example(_Frozen):
    """An input that users can try with one click."""

    label: str = Field(min_length=1, max_length=40)
    """The text of the button."""

    input: dict[str, Any]
    kind: Kind = Kind.NORMAL


class Source(_Frozen):
    """A section of a feature's knowledge that an output may cite. Users can read it."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,60}$")
    title: str
    group: str = ""
    """The heading under which it is listed."""

    text: str
    """Markdown."""


class Citation(BaseModel):
    """Words of a source that support an output. Pages show it beside the sentence it supports."""

    model_config = ConfigDict(extra="forbid")

    section: str = Field(
        min_length=1, max_length=60, description="The id of the section, without braces and #."
    )
    quote: str = Field(
        min_length=8,
        max_length=400,
        description="The words of that section that support the answer, copied exactly.",
    )


class FollowUp(_Frozen):
    """Something that a user may do with an output: a request of another feature."""

    label: str
    """The text of the button."""

    feature: str
    input: dict[str, Any]


class Scorer(StrEnum):
    """How an output is compared with what a case of the suite expects."""

    KEYWORD = "keyword"
    EXACT = "exact"
    JUDGE = "judge"


class Floor(_Frozen):
    """A least pass rate from a date on."""

    least: float = Field(gt=0, le=1)
    """Least share of cases to pass."""

    since: date
    reason: str = ""
    """Why it is lower than the one before. Others need none."""


class Suite(_Frozen):
    """Scoring of the feature's suite."""

    scorer: Scorer
    """The scorer that reports show first. Each case names its own scorers."""

    text: tuple[str, ...] = ()
    """Output fields in which keywords are searched. The first one is the main text, for its length
    and language. Empty: all fields with text, in order."""

    floors: Mapping[
        Literal["anthropic", "sandbox"], Annotated[tuple[Floor, ...], Field(min_length=1)]
    ]
    """The floors by provider, the oldest first; set before tuning. Entries are added, and never
    changed. The sandbox's proves that the machinery works, and nothing about a model."""

    least_score: float = Field(default=4.0, ge=1, le=5)
    """Least mean of the judge's scores with which a case passes. A criterion below 3 fails it."""

    functions: Mapping[str, Callable[[Any, Any, Any], str]] = {}
    """Own scorers by name. Each takes the input, the output (both as their models) and what the
    case expects, and returns what is wrong; empty if nothing is."""

    @field_validator("floors")
    @classmethod
    def _floors_are_a_history(
        cls, floors: Mapping[str, tuple[Floor, ...]]
    ) -> Mapping[str, tuple[Floor, ...]]:
        for provider, history in floors.items():
            for before, after in itertools.pairwise(history):
                if after.since <= before.since:
                    raise ValueError(
                        f"the floor of {provider} since {after.since} comes after the one since"
                        f" {before.since}: order floors by date, the oldest first"
                    )
                if after.least < before.least and not after.reason.strip():
                    raise ValueError(
                        f"the floor of {provider} since {after.since} is {after.least:g}, lower"
                        f" than {before.least:g} before: give it a reason"
                    )
        return floors

    def history(self, provider: str) -> tuple[Floor, ...]:
        """Return the floors with a provider, the oldest first; empty if none is set."""
        return next((found for name, found in self.floors.items() if name == provider), ())

    def floor(self, provider: str) -> float | None:
        """Return the newest floor with a provider; None if none is set."""
        return next((floor.least for floor in reversed(self.history(provider))), None)


class Feature(_Frozen):
    """An AI feature. Its prompts are in the same folder: `v1.md`, `v2.md`, ..."""

    slug: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Its name in URLs, tables and logs, and the name of its folder."""

    title: str
    description: str
    """One sentence for users."""

    input_model: type[BaseModel]
    """Validates and documents the input. The form is generated from its JSON Schema."""

    output_model: type[BaseModel]
    """Validates the answer. Its JSON Schema is sent to the provider."""

    prompt_version: str = Field(pattern=r"^v[1-9][0-9]*$")
    """The active version until an operator activates another."""

    internal: bool = False
    """Whether only the system itself calls it, for evaluations for example. Users do not see it."""

    routes: tuple[Route, ...] = Field(min_length=1)
    """A job takes the first route that fits it. The last one takes any job."""

    knowledge: tuple[str, ...] = ()
    """Files of the feature's folder, without `.md`, whose text every call sends. `{{name}}` in the
    system part of a prompt is replaced by the text. The provider caches it."""

    stream_field: str | None = None
    """The output field whose text is streamed. None: nothing is streamed."""

    falls_back: bool = True
    """Whether the next model of the route is called while the circuit breaker of one is open.
    Otherwise jobs wait until the breaker lets calls through."""

    check: Callable[[Any, Any], Iterable[str]] | None = None
    """Finds problems beyond the schema: takes the input and the output, both as their models, and
    returns a sentence for each problem. The model reads them and gets one repair."""

    approval: Callable[[Any, Any], str] | None = None
    """Takes the input and the output and returns why a person must decide before the user sees the
    output; empty if none must."""

    plain: Callable[[Any], BaseModel] | None = None
    """Takes the input and returns the plainest output, made without a model: by a keyword, a
    template, the first sentences. Evaluations compare models with it."""

    offers_plain: bool = False
    """Whether users get the plain output, labelled and free of charge, while the provider is
    down."""

    hidden: frozenset[str] = frozenset()
    """Output fields that pages do not show."""

    sources: Callable[[], Mapping[str, Source]] | None = None
    """Returns the sections that an output may cite, by id."""

    follow_up: Callable[[Any, Any], FollowUp | None] | None = None
    """Takes the input and the output and returns what the user may do next."""

    examples: tuple[Example, ...] = ()
    """Inputs to try, shown as buttons on the feature's page."""

    suite: Suite | None = None
    """How its suite in `evals/suites/<slug>/` is scored. None: it has no suite yet."""

    review_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the answers from which the weekly review is drawn."""

    untrusted: frozenset[str] = frozenset()
    """Input fields whose words a random character joins in the prompt, which distinguish
    them from instructions (datamarking, arXiv 2403.14720)."""

    guards: Guards = Guards()

    limits: Limits = Limits()

    @field_validator("routes")
    @classmethod
    def _every_job_has_a_route(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        *some, last = routes
        if not last.takes_any or any(route.takes_any for route in some):
            raise ValueError("the last route, and only the last, must be without a condition")
        sizes = [route.up_to_bytes for route in some if route.only_by_size]
        if any(a >= b for a, b in itertools.pairwise(sizes) if a and b):
            raise ValueError("routes must be ordered by up_to_bytes, smallest first")
        if len({route.name for route in routes}) < len(routes):
            raise ValueError("each route needs a name of its own")
        return routes

    @model_validator(mode="after")
    def _plain_is_there(self) -> Feature:
        if self.offers_plain and self.plain is None:
            raise ValueError("offers_plain needs a function `plain`")
        return self

    @model_validator(mode="after")
    def _examples_fit(self) -> Feature:
        for example in self.examples:
            try:
                self.input_model.model_validate_json(json.dumps(example.input))
            except ValidationError as error:
                raise ValueError(f"example {example.label!r}: {error}") from None
        return self

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

    @model_validator(mode="after")
    def _untrusted_are_fields(self) -> Feature:
        if unknown := sorted(self.untrusted - set(self.input_model.model_fields)):
            raise ValueError(f"untrusted names {unknown}, which are no fields of the input model")
        return self

    @model_validator(mode="after")
    def _nothing_is_shown_before_its_moderation(self) -> Feature:
        if self.guards.moderation is Moderation.ALWAYS and self.stream_field:
            raise ValueError(
                "a feature that always moderates has no stream_field: users would read the answer"
                " before it was moderated"
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_shown_before_its_approval(self) -> Feature:
        if self.approval and self.stream_field:
            raise ValueError(
                "a feature with an approval rule has no stream_field: users would read the answer"
                " before a person has decided"
            )
        return self

    def __hash__(self) -> int:
        """Hash the slug: examples hold dictionaries, which have no hash."""
        return hash(self.slug)

    @property
    def citation_field(self) -> str | None:
        """The output field that lists citations; None if the feature cites nothing."""
        for name, field in self.output_model.model_fields.items():
            if self.sources is not None and field.annotation == list[Citation]:
                return name
        return None

    @property
    def models(self) -> frozenset[str]:
        """Every model that any route may call."""
        return frozenset(model for route in self.routes for model in route.models)

    @property
    def output_schema(self) -> dict[str, Any]:
        return _schema(self.output_model)
