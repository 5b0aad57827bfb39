"""What the provider refuses before it works: headers, fields, roles, sizes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workers.inference import dialect
from workers.sandbox.catalog import MODELS
from workers.sandbox.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_BREAKPOINTS = 4
_GONE = ("temperature", "top_p", "top_k")
_SERVICE_TIERS = ("auto", "standard_only")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a call without a key (401) or without a version (400)."""
    bearer = headers.get("authorization", "")
    has_bearer = bearer.lower().startswith("bearer ") and bearer[7:].strip()
    if not has_bearer and not headers.get("x-api-key", "").strip():
        raise Rejection(401, "x-api-key header is required")
    if not headers.get("anthropic-version"):
        raise Rejection(400, "anthropic-version: header is required")


def parse_body(raw: bytes) -> dict[str, Any]:
    """The body as an object; 400 if it is not one."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise Rejection(400, "The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise Rejection(400, "The request body must be a JSON object")
    return body


def check_request(body: Mapping[str, Any], *, counting: bool = False) -> None:
    """Refuse what the Messages API refuses. `counting` asks for no `max_tokens`."""
    model = _model(body)
    if not counting:
        _check_max_tokens(body, model)
    for name in _GONE:
        if body.get(name) is not None:
            raise Rejection(400, f"{name}: this parameter is not supported by {model}")
    if body.get("service_tier", "auto") not in _SERVICE_TIERS:
        raise Rejection(400, "service_tier: Input should be 'auto' or 'standard_only'")
    _check_messages(body.get("messages"))
    _check_blocks(body.get("system"), "system", optional=True)
    _check_tool_choice(body, model)
    _check_output_config(body)
    breakpoints = sum(1 for block in _all_blocks(body) if block.get("cache_control"))
    if breakpoints > MAX_BREAKPOINTS:
        raise Rejection(
            400,
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. "
            f"Found {breakpoints}.",
        )


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Rejection(400, "model: Field required")
    if model not in MODELS:
        raise Rejection(404, f"model: {model}")
    return model


def _check_max_tokens(body: Mapping[str, Any], model: str) -> None:
    value = body.get("max_tokens")
    if value is None:
        raise Rejection(400, "max_tokens: Field required")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Rejection(400, "max_tokens: Input should be an integer greater than or equal to 1")
    if value > MODELS[model].max_output:
        limit = MODELS[model].max_output
        raise Rejection(400, f"max_tokens: {value} > {limit}, the maximum of {model}")


def _check_messages(messages: Any) -> None:
    if messages is None:
        raise Rejection(400, "messages: Field required")
    if not isinstance(messages, list) or not messages:
        raise Rejection(400, "messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise Rejection(400, f"messages.{index}.role: Input should be 'user' or 'assistant'")
        _check_blocks(message.get("content"), f"messages.{index}.content")
    if messages[0]["role"] != "user":
        raise Rejection(400, "messages: first message must use the user role")


def _check_blocks(content: Any, where: str, *, optional: bool = False) -> None:
    if content is None and optional:
        return
    if isinstance(content, str):
        if not content and not optional:
            raise Rejection(400, f"{where}: content must be non-empty")
        return
    if not isinstance(content, list) or (not content and not optional):
        raise Rejection(400, f"{where}: content must be a non-empty string or list of blocks")
    for index, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise Rejection(400, f"{where}.{index}.type: Field required")
        if block["type"] == "text" and (
            not isinstance(block.get("text"), str) or not block["text"].strip()
        ):
            raise Rejection(400, f"{where}.{index}.text: text content blocks must be non-empty")


def _check_tool_choice(body: Mapping[str, Any], model: str) -> None:
    choice = body.get("tool_choice") or {}
    forced = isinstance(choice, dict) and choice.get("type") in ("any", "tool")
    if forced and not MODELS[model].forced_tool_choice:
        raise Rejection(400, f"tool_choice: forcing a tool is not supported by {model}")


def _check_output_config(body: Mapping[str, Any]) -> None:
    config = body.get("output_config")
    if config is None:
        return
    if not isinstance(config, dict):
        raise Rejection(400, "output_config: Input should be an object")
    if config.get("effort") not in (None, *_EFFORTS):
        raise Rejection(400, f"output_config.effort: Input should be one of {', '.join(_EFFORTS)}")
    form = config.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        raise Rejection(400, "output_config.format.type: Input should be 'json_schema'")
    if not isinstance(form.get("schema"), dict):
        raise Rejection(400, "output_config.format.schema: Field required")
    if problems := dialect.problems(form["schema"]):
        raise Rejection(400, f"output_config.format.schema: {problems[0]}")


def _all_blocks(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    contents = [body.get("tools"), body.get("system"), *(m["content"] for m in body["messages"])]
    yield body
    for content in contents:
        if isinstance(content, list):
            yield from (block for block in content if isinstance(block, dict))
