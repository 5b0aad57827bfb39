"""Messages and stream events in the provider's form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.sandbox import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.sandbox.cache import PromptUsage

TOKENS_PER_DELTA = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer: its content and its cost."""

    message_id: str
    model: str
    text: str
    stop_reason: str
    prompt: PromptUsage
    output_tokens: int
    stop_sequence: str | None = None
    has_content: bool = True
    tool: str | None = None
    """The tool that is called; `text` is its input as JSON."""

    def usage(self, output_tokens: int | None = None) -> dict[str, Any]:
        """Return the usage after `output_tokens` were written (default: all)."""
        return {
            "input_tokens": self.prompt.input_tokens,
            "cache_creation_input_tokens": self.prompt.cache_write_5m + self.prompt.cache_write_1h,
            "cache_read_input_tokens": self.prompt.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.prompt.cache_write_5m,
                "ephemeral_1h_input_tokens": self.prompt.cache_write_1h,
            },
            "output_tokens": self.output_tokens if output_tokens is None else output_tokens,
            "service_tier": "standard",
        }

    def billed(self) -> dict[str, Any] | None:
        """Return the billed usage: all of it, or None for a refusal without output."""
        return self.usage() if self.has_content or self.stop_reason != "refusal" else None

    def ending(self) -> dict[str, Any]:
        """Return the fields with the reason of the end."""
        refused = self.stop_reason == "refusal"
        details = {"type": "refusal", "category": None, "explanation": None} if refused else None
        return {
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": details,
        }

    def message(self) -> dict[str, Any]:
        """Return the whole message, for a call without streaming."""
        content: list[dict[str, Any]] = []
        if self.has_content and self.tool is None:
            content = [{**self.block(), "text": self.text}]
        elif self.has_content:
            # The input of a call that is cut is no JSON: the provider's client gets an empty one.
            is_whole = self.stop_reason == "tool_use"
            content = [{**self.block(), "input": json.loads(self.text) if is_whole else {}}]
        return {**self.head(), "content": content, **self.ending(), "usage": self.usage()}

    def block(self) -> dict[str, Any]:
        """Return the content block before its first part."""
        if self.tool is None:
            return {"type": "text", "text": ""}
        call_id = self.message_id.replace("msg", "toolu")
        return {"type": "tool_use", "id": call_id, "name": self.tool, "input": {}}

    def delta(self, part: str) -> dict[str, Any]:
        """Return the change of the content block by a part of the text."""
        if self.tool is None:
            return {"type": "text_delta", "text": part}
        return {"type": "input_json_delta", "partial_json": part}

    def head(self) -> dict[str, Any]:
        """Return the fields that are equal in each event."""
        return {"id": self.message_id, "type": "message", "role": "assistant", "model": self.model}


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream, and the output tokens written up to its end."""

    name: str
    data: dict[str, Any]
    written: int

    def encode(self) -> bytes:
        """Return the event as bytes of `text/event-stream`."""
        return sse(self.name, json.dumps(self.data, ensure_ascii=False))


def sse(name: str, data: str) -> bytes:
    """Return an event with any data."""
    return f"event: {name}\ndata: {data}\n\n".encode()


def stream(reply: Reply) -> Iterator[Event]:
    """Yield the events of a reply in the provider's order."""
    start = {
        **reply.head(),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": reply.usage(min(1, reply.output_tokens)),
    }
    yield Event("message_start", {"type": "message_start", "message": start}, 0)
    written = 0
    if reply.has_content:
        opening = {"type": "content_block_start", "index": 0, "content_block": reply.block()}
        yield Event("content_block_start", opening, written)
        yield Event("ping", {"type": "ping"}, written)
        pieces = tokens.pieces(reply.text)
        for at in range(0, len(pieces), TOKENS_PER_DELTA):
            delta = reply.delta("".join(pieces[at : at + TOKENS_PER_DELTA]))
            written = min(at + TOKENS_PER_DELTA, len(pieces))
            data = {"type": "content_block_delta", "index": 0, "delta": delta}
            yield Event("content_block_delta", data, written)
        yield Event("content_block_stop", {"type": "content_block_stop", "index": 0}, written)
    usage = {k: v for k, v in reply.usage().items() if k not in ("cache_creation", "service_tier")}
    data = {"type": "message_delta", "delta": reply.ending(), "usage": usage}
    yield Event("message_delta", data, reply.output_tokens)
    yield Event("message_stop", {"type": "message_stop"}, reply.output_tokens)
