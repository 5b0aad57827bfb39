"""Parser for the provider's answer, streamed or whole.

It reads decoded JSON, not the SDK's models. Those take a third of the call's CPU and are built
without validation, so a malformed event would become an object without attributes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from workers.inference.body import TooLargeError
from workers.inference.errors import (
    AnswerEmpty,
    AnswerTruncated,
    AnswerUnusable,
    Billing,
    ContextExceeded,
    Facts,
    InferenceError,
    Refused,
    UnexpectedStop,
)
from workers.inference.surrogates import Joiner
from workers.inference.types import TokenUsage
from workers.inference.usage import TokenBound, UsageReport

COMPLETE = frozenset({"end_turn", "stop_sequence"})
"""Stop reasons of a successful answer."""

UNUSABLE: dict[str, type[AnswerUnusable]] = {
    "refusal": Refused,
    "max_tokens": AnswerTruncated,
    "model_context_window_exceeded": ContextExceeded,
}
"""Stop reasons of a complete but unusable answer. All others (`tool_use`, `pause_turn`, new ones)
are unexpected: they answer something that was not requested."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Values that may be shown to an operator: a plain name contains no prompt and no output."""


class Answer:
    """An answer, as far as it was read. Garbled input raises LookupError, TypeError or ValueError.

    A wrong usage raises nothing: the text may still be right, and it is billed.
    """

    def __init__(self, most: TokenBound, *, max_text: int) -> None:
        self.begun = False
        """Whether `message_start` was read."""
        self.complete = False
        self.model = ""
        self.stop_reason: str | None = None
        self._usage = UsageReport(most)
        self._room = max_text
        self._pieces: list[str] = []
        self._joiner = Joiner()
        self._stopped = False
        self._wrote = False
        """Whether any output was read, thinking included."""

    @property
    def reported(self) -> TokenUsage | None:
        """Usage reported so far. None if none was reported, or if it cannot be right."""
        return self._usage.usage

    @property
    def usage(self) -> TokenUsage:
        return self.reported or TokenUsage()

    @property
    def usage_problem(self) -> str:
        """Reason to reject the usage of a complete answer. Empty if it is valid."""
        return self._usage.problem(wrote=self._wrote)

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def read_message(self, body: bytes) -> None:
        message = _object(json.loads(body))
        if message["type"] != "message":
            raise ValueError("the response is not a message")
        self._start(message)
        self._finish(message, message.get("usage"))
        for block in _list(message["content"]):
            self._begin_block(_object(block))
        self._end()

    def read_event(self, kind: str, data: str) -> str:
        """Read one event of a stream. Return the text it adds. Unknown kinds are ignored."""
        if self.complete:
            return ""
        if kind == "content_block_delta":
            delta = _object(_object(json.loads(data))["delta"])
            self._must_have_begun()
            if delta["type"] == "text_delta":
                return self._add(_text(delta["text"]))
            self._wrote = True
        elif kind == "content_block_start":
            block = _object(_object(json.loads(data))["content_block"])
            self._must_have_begun()
            return self._begin_block(block)
        elif kind == "message_start":
            if self.begun:
                raise ValueError("a second message_start")
            self._start(_object(_object(json.loads(data))["message"]))
        elif kind == "message_delta":
            event = _object(json.loads(data))
            self._must_have_begun()
            self._finish(_object(event["delta"]), event.get("usage"))
        elif kind == "message_stop":
            self._must_have_begun()
            if not self._stopped:
                raise ValueError("message_stop without a stop reason")
            return self._end()
        return ""

    def verdict(self, facts: Facts) -> InferenceError | None:
        """Return the error of a complete answer. None: the answer is usable."""
        problem = self.usage_problem
        seen = not problem
        facts = {**facts, "usage_problem": problem, "usage": self.usage if seen else None}
        facts["billing"] = Billing.KNOWN if seen else Billing.UNSEEN
        facts["text"], facts["stop_reason"] = self.text, self.stop_reason
        if seen and self.stop_reason == "refusal" and not self._wrote:
            facts["cost_micro"] = 0  # a refusal without output is not billed
        if self.stop_reason in UNUSABLE:
            return UNUSABLE[self.stop_reason](f"stop reason {self.stop_reason}", **facts)
        if self.stop_reason not in COMPLETE:
            return UnexpectedStop(f"unexpected stop reason {_named(self.stop_reason)}", **facts)
        if not self.text.strip():
            return AnswerEmpty("the answer contains no text", **facts)
        return None

    def _must_have_begun(self) -> None:
        if not self.begun:
            raise ValueError("an event before message_start")

    def _begin_block(self, block: Mapping[str, Any]) -> str:
        if block["type"] == "text":
            return self._add(_text(block["text"]))
        self._wrote = True
        return ""

    def _add(self, piece: str) -> str:
        text = self._joiner.feed(piece)
        if piece:
            self._wrote = True
        return self._keep(text)

    def _keep(self, text: str) -> str:
        self._room -= len(text)
        if self._room < 0:
            raise TooLargeError("more text than max_tokens allows")
        if text:
            self._pieces.append(text)
        return text

    def _start(self, message: Mapping[str, Any]) -> None:
        self.begun = True
        self._usage.read(message.get("usage"), final=False)
        self.model = _text(message["model"])

    def _finish(self, message: Mapping[str, Any], usage: Any) -> None:
        reason = message["stop_reason"]
        # Counts are cumulative: they replace those of `message_start`.
        self._usage.read(usage, final=True)
        self.stop_reason = None if reason is None else _text(reason)
        self._stopped = True

    def _end(self) -> str:
        rest = self._keep(self._joiner.end())
        self.complete = True
        return rest


def _named(reason: str | None) -> str:
    return repr(reason) if reason is None or _NAME.fullmatch(reason) else "(not a plain name)"


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a JSON list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value
