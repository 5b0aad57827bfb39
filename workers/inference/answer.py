"""Reads the provider's answer, streamed or whole, and says what a complete one is.

Works on decoded JSON and not on the SDK's models: those are built without validation, a third of
the call's CPU, and would let a malformed event pass as an object without attributes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workers.inference.errors import (
    AnswerGarbled,
    AnswerTruncated,
    AnswerUnusable,
    Billing,
    ContextExceeded,
    Facts,
    InferenceError,
    Refused,
)
from workers.inference.types import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPLETE = frozenset({"end_turn", "stop_sequence"})
"""The stop reasons of an answer that is as it should be."""

UNUSABLE: dict[str, type[AnswerUnusable]] = {
    "refusal": Refused,
    "max_tokens": AnswerTruncated,
    "model_context_window_exceeded": ContextExceeded,
}
"""The stop reasons of a complete answer nobody can use. Any other one (`tool_use`, `pause_turn`,
one that is new) answers a question we did not ask: garbled."""

_USAGE_FIELDS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}


class Answer:
    """One answer as far as it was read. Garbled input raises KeyError, TypeError or ValueError."""

    def __init__(self) -> None:
        self.begun = False
        """Whether `message_start` came."""
        self.reported: TokenUsage | None = None
        """The usage as far as it was reported; None while none was."""
        self.complete = False
        """Whether its last event was seen."""
        self.model = ""
        self.stop_reason: str | None = None
        self._pieces: list[str] = []
        self._final_usage = False
        self._wrote = False
        """Whether any output came, thinking included."""

    @property
    def usage(self) -> TokenUsage:
        return self.reported or TokenUsage()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def read_message(self, body: bytes) -> None:
        """Take a whole, unstreamed answer."""
        message = _object(json.loads(body))
        if message["type"] != "message":
            raise ValueError("the response is not a message")
        self._start(message)
        self._finish(message)
        for block in message["content"]:
            self._begin_block(block)
        self.complete = True

    def read_event(self, kind: str, data: str) -> str:
        """Take one event of a stream; return the text it added. Unknown kinds are passed over."""
        if self.complete:
            return ""
        if kind == "content_block_delta":
            delta = _object(json.loads(data))["delta"]
            return self._add(_text(delta["text"])) if delta["type"] == "text_delta" else ""
        if kind == "content_block_start":
            return self._begin_block(_object(json.loads(data))["content_block"])
        if kind == "message_start":
            self._start(_object(json.loads(data))["message"])
        elif kind == "message_delta":
            event = _object(json.loads(data))
            self._finish({**event["delta"], "usage": event["usage"]})
        elif kind == "message_stop":
            # Only with the final usage is it whole: without, nobody knows what it cost.
            self.complete = self._final_usage
        return ""

    def verdict(self, facts: Facts) -> InferenceError | None:
        """The error a complete answer amounts to, or None when it is as it should be."""
        facts = {**facts, "billing": Billing.KNOWN, "usage": self.usage}
        facts["text"], facts["stop_reason"] = self.text, self.stop_reason
        if self.stop_reason == "refusal" and not self._wrote:
            facts["cost_micro"] = 0  # a refusal without any output is not billed
        if self.stop_reason in UNUSABLE:
            return UNUSABLE[self.stop_reason](f"stop reason {self.stop_reason}", **facts)
        if self.stop_reason not in COMPLETE:
            return AnswerGarbled(f"unexpected stop reason {self.stop_reason!r}", **facts)
        if not self.text.strip():
            return AnswerGarbled("the answer holds no text", **facts)
        return None

    def _begin_block(self, block: Mapping[str, Any]) -> str:
        if block["type"] == "text":
            return self._add(_text(block["text"]))
        self._wrote = True
        return ""

    def _add(self, piece: str) -> str:
        if piece:
            self._wrote = True
            self._pieces.append(piece)
        return piece

    def _start(self, message: Mapping[str, Any]) -> None:
        self.begun = True
        self.model = _text(message["model"])
        self.reported = _read_usage(message["usage"], self.usage)

    def _finish(self, message: Mapping[str, Any]) -> None:
        reason = message["stop_reason"]
        self.stop_reason = None if reason is None else _text(reason)
        # Cumulative: a count replaces the one of `message_start`, and is never added to it.
        self.reported = _read_usage(message["usage"], self.usage)
        self._final_usage = True


def _read_usage(usage: Mapping[str, Any], before: TokenUsage) -> TokenUsage:
    counts: dict[str, int] = {}
    for ours, theirs in _USAGE_FIELDS.items():
        count = usage.get(theirs)
        if count is not None and (not isinstance(count, int) or count < 0):
            raise ValueError(f"{theirs} is not a count")
        counts[ours] = getattr(before, ours) if count is None else count
    return TokenUsage(**counts)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value
