"""Types of the inference layer: input and output of one provider call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from uuid import UUID

DeltaSink = Callable[[str], None]
"""Receives each new piece of the answer's text, in the calling thread."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of text. `cache` sets a prompt-cache breakpoint after it."""

    text: str
    cache: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["user", "assistant"]
    content: tuple[TextBlock, ...]


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One complete provider call: sending it reads nothing else."""

    attempt_id: UUID
    """The ledger's id of this call, sent in the `x-attempt-id` header."""

    model: str
    """The provider's model id. It must be in `catalog.py` and have a price."""

    system: tuple[TextBlock, ...]
    messages: tuple[Message, ...]

    max_tokens: int
    """Most output tokens, thinking included."""

    output_schema: Mapping[str, Any] | None = None
    """JSON Schema of the answer (structured output), or None for plain text."""

    stream: bool = True
    """Whether to stream the answer. Otherwise the sink receives nothing."""

    deadline_s: float = 120.0
    """Seconds after the call's start at which it is aborted."""

    nonce: str = ""
    """Makes the request differ from an equal one, so that no cache on the way answers a repeat.
    Sent as `metadata.user_id`, which the model does not read."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of the four billed kinds. `input_tokens` is only the uncached part."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not. They determine the price tier."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """A successful call: a complete answer with its stop reason and usage."""

    text: str
    stop_reason: str
    model: str
    """The provider's name of the model that answered."""

    usage: TokenUsage
    cost_micro: int
    """Micro-dollars, rounded up."""

    request_id: str | None
    latency_ms: int
    """From the call's start to its last byte."""

    ttft_ms: int | None
    """From the call's start to the first piece of text. None without a stream."""

    rate_limits: Mapping[str, str] = field(default_factory=dict)
    """The `anthropic-ratelimit-*` response headers."""

    cache_saved_micro: int = 0
    """Micro-dollars that the prompt cache saved; negative for a call that only wrote to it."""

    usage_problem: str = ""
    """Reason to reject the reported usage. Empty if it is valid. Otherwise `usage` is all zeros and
    `cost_micro` is the upper bound of the request."""


class Admission(Protocol):
    """Permission to send one call. Report the call's end to it; only the first report counts."""

    def sink(self, on_delta: DeltaSink | None) -> DeltaSink | None:
        """Return the sink for the answer's text. It forwards each piece to `on_delta`."""

    def give_back(self) -> None:
        """Report that nothing was sent."""

    def succeeded(
        self, usage: TokenUsage | None, rate_limits: Mapping[str, str], latency_ms: int
    ) -> None:
        """Report a complete answer. Without a valid usage the whole reservation stays taken."""

    def failed(self, error: BaseException) -> None:
        """Report that the call was tried and no usable answer was received."""


class Cancel:
    """A token with which any thread can abort a call at any time, also repeatedly.

    The caller passes it to `infer`. While a call is in flight, the client registers the function
    that shuts down its socket (`on_cancel`).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._abort: Callable[[], None] | None = None

    @property
    def reason(self) -> str | None:
        """The first reason given to `cancel`, or None."""
        return self._reason

    def cancel(self, reason: str) -> None:
        """Abort the call in flight and all later calls with this token."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
            abort = self._abort
        if abort is not None:
            abort()

    def on_cancel(self, abort: Callable[[], None] | None) -> None:
        """Register the function that aborts the call in flight. None after its end.

        Runs `abort` immediately if the token is already cancelled.
        """
        with self._lock:
            self._abort = abort
            cancelled = self._reason is not None
        if cancelled and abort is not None:
            abort()
