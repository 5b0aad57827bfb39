"""Make the reply to a request: the text of the answer, cut by limits and faults."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from workers.sandbox import tokens
from workers.sandbox.answer import answer
from workers.sandbox.catalog import MODELS
from workers.sandbox.delivery import fresh_id
from workers.sandbox.events import Reply
from workers.sandbox.faults import FaultKind, FaultRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.sandbox.cache import PromptUsage

LONG_PROMPT_BYTES = 32_000
"""Longer requests are answered in a thread."""


def compose(
    body: Mapping[str, Any], prompt: PromptUsage, rule: FaultRule | None, error_rates: float = 0.0
) -> Reply:
    """Return the reply to a valid request, with the faults that change its content.

    Args:
        body: The request.
        prompt: Its billed tokens.
        rule: The fault that fires for it.
        error_rates: Factor of the rates at which a model errs.
    """
    kind = rule.kind if rule is not None else None
    if kind in (FaultKind.REFUSAL, FaultKind.EMPTY_CONTENT):
        reason = "refusal" if kind is FaultKind.REFUSAL else "end_turn"
        return _reply(body, prompt, "", reason, has_content=False)
    if (tool := _forced_tool(body)) is not None:
        form = {"format": {"type": "json_schema", "schema": tool.get("input_schema", {})}}
        text = answer({**body, "output_config": form}, error_rates)
        reply = _within_limits(body, prompt, text)
        reason = "tool_use" if reply.stop_reason == "end_turn" else reply.stop_reason
        return replace(reply, stop_reason=reason, tool=str(tool.get("name")))
    text = answer(body, error_rates)
    if rule is not None and kind is FaultKind.MALFORMED_OUTPUT:
        text = malformed(text, rule.shape)
    if kind is FaultKind.MAX_TOKENS:
        pieces = tokens.pieces(text)
        return _reply(body, prompt, "".join(pieces[: max(1, len(pieces) // 2)]), "max_tokens")
    return _within_limits(body, prompt, text)


def _forced_tool(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the tool that the request forces; without one, an answer is text."""
    choice = body.get("tool_choice") or {}
    if choice.get("type") not in ("any", "tool"):
        return None
    tools: list[Mapping[str, Any]] = body.get("tools") or []
    return next((t for t in tools if choice.get("name") in (None, t.get("name"))), None)


def _within_limits(body: Mapping[str, Any], prompt: PromptUsage, text: str) -> Reply:
    stop: str | None = None
    for sequence in body.get("stop_sequences") or ():
        head, found, _ = text.partition(sequence)
        if found:
            text, stop = head, sequence
    pieces = tokens.pieces(text)
    room = MODELS[body["model"]].context - prompt.total
    limit = min(body["max_tokens"], room)
    if len(pieces) <= limit:
        reason = "stop_sequence" if stop is not None else "end_turn"
        return _reply(body, prompt, text, reason, stop_sequence=stop)
    reason = "max_tokens" if limit == body["max_tokens"] else "model_context_window_exceeded"
    return _reply(body, prompt, "".join(pieces[:limit]), reason)


def _reply(
    body: Mapping[str, Any],
    prompt: PromptUsage,
    text: str,
    stop_reason: str,
    *,
    stop_sequence: str | None = None,
    has_content: bool = True,
) -> Reply:
    return Reply(
        message_id=fresh_id("msg"),
        model=body["model"],
        text=text,
        stop_reason=stop_reason,
        prompt=prompt,
        output_tokens=max(1, tokens.count(text)),
        stop_sequence=stop_sequence,
        has_content=has_content,
    )


def malformed(text: str, shape: Literal["invalid_json", "wrong_shape"]) -> str:
    """Return malformed structured output: no JSON, or JSON of another shape."""
    if shape == "invalid_json":
        # Without a closing bracket, no part of it can be JSON by accident.
        return "{" + text[: max(1, len(text) * 2 // 3)].rstrip("}]")
    value = json.loads(text)
    if isinstance(value, dict):
        return json.dumps([{f"{key}_": inner for key, inner in value.items()}], ensure_ascii=False)
    return json.dumps({"unexpected": value}, ensure_ascii=False)
