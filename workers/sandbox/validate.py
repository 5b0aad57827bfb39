"""Refuse the requests that the provider refuses: headers, fields, roles, sizes, schemas.

docs/decisions/json-schema-in-sandbox.md lists which checks are pydantic's and jsonschema's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError, from_json

from workers.inference import dialect
from workers.sandbox import tokens
from workers.sandbox.catalog import MODELS
from workers.sandbox.rejection import Rejection

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_BREAKPOINTS = 4
_GONE = ("temperature", "top_p", "top_k")
_LONGEST_REASON = 300


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class CacheControl(Part):
    ttl: Literal["5m", "1h"] | None = None


class Block(Part):
    type: str
    text: str | None = None
    cache_control: CacheControl | None = None

    @model_validator(mode="after")
    def _has_text(self) -> Block:
        if self.type == "text" and not (self.text or "").strip():
            raise PydanticCustomError("empty", "text content blocks must be non-empty")
        return self


def _as_blocks(content: Any) -> Any:
    # A string counts as one block. Unlike a text block it may be blank.
    if isinstance(content, str):
        return [{"type": "string", "text": content}] if content else []
    return content


_Blocks = Annotated[list[Block], BeforeValidator(_as_blocks)]


class Message(Part):
    role: Literal["user", "assistant"]
    content: Annotated[_Blocks, Field(min_length=1)]


class Format(Part):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Part):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Request(Part):
    """The fields of a request that are checked."""

    model: Annotated[str, Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    service_tier: Literal["auto", "standard_only"] = "auto"
    messages: Annotated[list[Message], Field(min_length=1)]
    system: _Blocks | None = None
    stop_sequences: list[Annotated[str, Field(min_length=1)]] | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    cache_control: CacheControl | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _starts_with_user(self) -> Request:
        if self.messages[0].role != "user":
            raise PydanticCustomError("role", "messages: first message must use the user role")
        return self


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a call without a key (401) or without a version (400)."""
    bearer = headers.get("authorization", "")
    has_bearer = bearer.lower().startswith("bearer ") and bearer[7:].strip()
    if not has_bearer and not headers.get("x-api-key", "").strip():
        raise Rejection(401, "x-api-key header is required")
    if not headers.get("anthropic-version"):
        raise Rejection(400, "anthropic-version: header is required")


def parse_body(raw: bytes) -> dict[str, Any]:
    """Return the body as an object; 400 if it is not one."""
    try:
        body = from_json(raw)
    except ValueError:
        raise Rejection(400, "The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise Rejection(400, "The request body must be a JSON object")
    return body


def check_request(body: Mapping[str, Any], *, counting: bool = False) -> None:
    """Refuse a request that the Messages API refuses. With `counting`, `max_tokens` is optional."""
    try:
        request = Request.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Rejection(400, f"{where}: {first['msg']}" if where else first["msg"]) from None
    if request.model not in MODELS:
        raise Rejection(404, f"model: {request.model}")
    model = MODELS[request.model]
    if request.max_tokens is None and not counting:
        raise Rejection(400, "max_tokens: Field required")
    if not counting and (request.max_tokens or 0) > model.max_output:
        limit = f"{request.max_tokens} > {model.max_output}, the maximum of {model.id}"
        raise Rejection(400, f"max_tokens: {limit}")
    for name in _GONE:
        if body.get(name) is not None:
            raise Rejection(400, f"{name}: this parameter is not supported by {model.id}")
    forced = (request.tool_choice or {}).get("type") in ("any", "tool")
    if forced and not model.forced_tool_choice:
        raise Rejection(400, f"tool_choice: forcing a tool is not supported by {model.id}")
    schema = tokens.schema_of(body)
    if schema is not None and (problem := _schema_problem(tokens.canonical(schema))):
        raise Rejection(400, f"output_config.format.schema: {problem}")
    breakpoints = sum(1 for block in _all_blocks(body) if block.get("cache_control"))
    if breakpoints > MAX_BREAKPOINTS:
        allowed = f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided."
        raise Rejection(400, f"{allowed} Found {breakpoints}.")


@lru_cache(maxsize=256)
def _schema_problem(canonical: str) -> str | None:
    """Return why the provider refuses a schema, given as JSON, or None."""
    schema = from_json(canonical)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"{error.json_path}: {error.message}"[:_LONGEST_REASON]
    return next(iter(dialect.problems(schema)), None)


def _all_blocks(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    contents = [body.get("tools"), body.get("system"), *(m["content"] for m in body["messages"])]
    yield body
    for content in contents:
        if isinstance(content, list):
            yield from content
