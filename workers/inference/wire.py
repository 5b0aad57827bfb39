"""The request body of a Messages API call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.inference.types import InferenceRequest, Message, TextBlock


def arguments(request: InferenceRequest, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments of `messages.create`. `schema`: output schema in the provider's form."""
    found: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": [_message(message) for message in request.messages],
        # Priority capacity is in no price list, so its cost has no bound.
        "service_tier": "standard_only",
        "extra_headers": {"x-attempt-id": str(request.attempt_id)},
    }
    if request.nonce:
        found["metadata"] = {"user_id": request.nonce}
    if request.system:
        found["system"] = [_block(block) for block in request.system]
    if schema is not None:
        found["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return found


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": [_block(block) for block in message.content]}


def _block(block: TextBlock) -> dict[str, Any]:
    if block.cache:
        return {"type": "text", "text": block.text, "cache_control": {"type": "ephemeral"}}
    return {"type": "text", "text": block.text}
