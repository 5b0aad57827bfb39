"""What goes into one provider call and what comes out: the vocabulary of the inference layer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from uuid import UUID

DeltaSink = Callable[[str], None]
"""Called in the calling thread with each new piece of the answer's text."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """One block of text; `cache` asks for a prompt-cache breakpoint behind it."""

    text: str
    cache: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Literal["user", "assistant"]
    content: tuple[TextBlock, ...]


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One provider call, complete: nothing is read from anywhere else when it is sent."""

    attempt_id: UUID
    """The ledger's id of this call; sent along in the `x-attempt-id` header."""

    model: str
    """The provider's model id; it must stand in `catalog.py` and have a price."""

    system: tuple[TextBlock, ...]
    messages: tuple[Message, ...]

    max_tokens: int
    """Upper limit of output tokens, thinking included."""

    output_schema: Mapping[str, Any] | None = None
    """JSON Schema the answer must obey (structured output), or None for plain text."""

    stream: bool = True
    """Whether the answer is read as it is written; deltas reach the sink only then."""

    deadline_s: float = 120.0
    """Seconds from the call's start after which it is aborted whatever it is doing."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of the four kinds the provider bills. `input_tokens` is only the uncached part."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not; it is what price tiers are counted on."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """A call that ended as it should: a complete answer with a stop reason and its usage."""

    text: str
    stop_reason: str
    model: str
    """The model that answered, as the provider names it."""

    usage: TokenUsage
    cost_micro: int
    """Micro-dollars, rounded up."""

    request_id: str | None
    latency_ms: int
    """From the call's start to its last byte."""

    ttft_ms: int | None
    """From the call's start to the first piece of text; None when it was not streamed."""

    rate_limits: Mapping[str, str] = field(default_factory=dict)
    """The `anthropic-ratelimit-*` response headers, as sent."""

    usage_problem: str = ""
    """Why the reported usage is not believed; empty if it is. Otherwise `usage` is all zeros, and
    `cost_micro` the upper bound of the request."""


class Admission(Protocol):
    """Leave to send one call. It must be told how the call ended; only the first word counts."""

    def sink(self, on_delta: DeltaSink | None) -> DeltaSink | None:
        """What takes the pieces of the answer's text, and passes them on to `on_delta`."""

    def give_back(self) -> None:
        """Nothing was sent."""

    def succeeded(
        self, usage: TokenUsage | None, rate_limits: Mapping[str, str], latency_ms: int
    ) -> None:
        """A complete answer came. Without a usage that is believed it keeps what it reserved."""

    def failed(self, error: BaseException) -> None:
        """It was sent, or tried to be, and no usable answer came."""


class Cancel:
    """Lets another thread abort a call, whatever it is blocked on.

    The calling side passes one to `infer`; any thread calls `cancel("why")` once or often.
    The transport registers how to break its socket while a call is in flight (`on_cancel`).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._abort: Callable[[], None] | None = None

    @property
    def reason(self) -> str | None:
        """Why it was cancelled, or None while it was not. The first reason stays."""
        return self._reason

    def cancel(self, reason: str) -> None:
        """Abort the call that is in flight, and any that starts later under this token."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
            abort = self._abort
        if abort is not None:
            abort()

    def on_cancel(self, abort: Callable[[], None] | None) -> None:
        """Register what breaks the call in flight; None when it has ended.

        Runs `abort` at once if the token was cancelled before.
        """
        with self._lock:
            self._abort = abort
            cancelled = self._reason is not None
        if cancelled and abort is not None:
            abort()
