"""Error classes of provider calls, one for each way to fail, so that no caller parses text.

InferenceError
├── Transient                 may succeed on a retry
│   ├── RateLimited           429, with retry-after
│   ├── Overloaded            529
│   ├── ProviderFault         500, 502, 503 and other 5xx
│   ├── ProviderTimeout       504, 408, or no byte within our connect or idle limit
│   ├── ConnectionFailed      refused, reset, TLS, name lookup: no byte of an answer was received
│   └── AnswerIncomplete      the stream ended or broke before its last event
├── Permanent                 the same call would fail again
│   ├── RequestRejected       400, 404, 409, 413, 422 and other 4xx
│   ├── AccessDenied          401, 403: the key or its permissions (perhaps account-wide)
│   ├── BillingStopped        no credit, or a spend limit was reached (perhaps account-wide)
│   └── NotPriced             the model is not in the catalog or has no price: not sent
├── AnswerUnusable            a complete answer; another model may give a usable one
│   ├── Refused               stop reason `refusal`
│   ├── AnswerTruncated       stop reason `max_tokens`
│   ├── ContextExceeded       stop reason `model_context_window_exceeded`
│   ├── UnexpectedStop        stop reason `tool_use`, `pause_turn`, none, or an unknown one
│   └── AnswerEmpty           no text
├── AnswerGarbled             the response violates the protocol or is too large
└── Aborted                   by us: not a failure of the provider, and not retried as such
    ├── Cancelled             by the Cancel token; `reason` is its reason
    └── DeadlineReached       the request's own deadline passed

Deferred                      not a failure: nothing was sent, try again later
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict, Unpack

if TYPE_CHECKING:
    from workers.inference.types import Admission, TokenUsage


class Billing(Enum):
    """Billing state of a failed call. The table is in `docs/decisions/billing.md`."""

    NONE = "none"
    """The provider did not receive the request or failed it: nothing is billed."""

    KNOWN = "known"
    """The whole usage was reported: `usage` and `cost_micro` are final."""

    CEILING = "ceiling"
    """The answer began and was cut off: `usage` was reported before that, `cost_micro` is the most
    that can be billed."""

    UNSEEN = "unseen"
    """The request was sent and no answer began: up to its bound may be billed."""


class Facts(TypedDict, total=False):
    """Details of a failed call: the keyword arguments of each error."""

    retry_after_s: float | None
    request_id: str | None
    status: int | None
    billing: Billing
    usage: TokenUsage | None
    cost_micro: int | None
    text: str
    stop_reason: str | None
    latency_ms: int
    ttft_ms: int | None
    retryable: bool | None
    rate_limits: Mapping[str, str]
    usage_problem: str


Reason = Literal["user_tokens", "provider_limit", "breaker", "account"]


class Deferred(Exception):  # noqa: N818 - an answer, not a defect
    """A call may not be sent now. Nothing was sent and nothing is billed.

    Retry after `wait_s` with `booked=True`: until then its place is reserved.
    """

    text_is_ours: ClassVar = True
    """The message contains only our own names and numbers, so it may be logged."""

    def __init__(
        self,
        *,
        reason: Reason,
        wait_s: float,
        scope: str,
        outage: bool = False,
        probe: Admission | None = None,
    ) -> None:
        super().__init__(f"{reason} of {scope}: retry in {wait_s:.3f} s")
        self.reason: Reason = reason
        self.wait_s = wait_s
        """Seconds, above 0."""
        self.scope = scope
        """The model, the key of the user's tokens, or the provider account."""
        self.outage = outage
        """More than one model of the provider fails: do not fall back to the next model."""
        self.probe = probe
        """Permission to send a probe now and retry afterwards. None: another probe is in flight,
        or none is due. A caller that sends no probe must give it back."""

    @property
    def next_model(self) -> bool:
        """Whether the next model of the route may be called immediately."""
        return self.reason == "breaker" and not self.outage


class InferenceError(Exception):
    """A provider call failed. The class attributes state what to do."""

    code: ClassVar[str] = "inference_error"
    """Stable name of the failure, stored with the attempt."""

    retryable: bool = False
    """Whether the same call may succeed later. The provider may override the class default."""

    provider_failure: ClassVar[bool] = False
    """Whether a circuit breaker counts it."""

    next_model: ClassVar[bool] = False
    """Whether to call the next model of the route immediately."""

    account_wide: ClassVar[bool] = False
    """Whether it may affect the whole account. One answer is no proof: a probe confirms it."""

    def __init__(
        self,
        detail: str,
        *,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        status: int | None = None,
        billing: Billing = Billing.UNSEEN,
        usage: TokenUsage | None = None,
        cost_micro: int | None = None,
        text: str = "",
        stop_reason: str | None = None,
        latency_ms: int = 0,
        ttft_ms: int | None = None,
        retryable: bool | None = None,
        rate_limits: Mapping[str, str] | None = None,
        usage_problem: str = "",
    ) -> None:
        super().__init__(detail)
        if retryable is not None:
            self.retryable = retryable
        self.detail = detail
        """Description for operators. Contains no prompt and no output."""
        self.retry_after_s = retry_after_s
        """Seconds from the provider's retry-after, or None."""
        self.request_id = request_id
        self.status = status
        """HTTP status of an error response. None if there was none."""
        self.billing = billing
        self.usage = usage
        self.cost_micro = cost_micro
        """Micro-dollars; set exactly when `billing` is KNOWN or CEILING."""
        self.text = text
        self.stop_reason = stop_reason
        self.latency_ms = latency_ms
        self.ttft_ms = ttft_ms
        self.rate_limits: Mapping[str, str] = rate_limits or {}
        self.usage_problem = usage_problem
        """Reason to reject the usage of a complete answer. Empty if valid, or without an answer."""


class Transient(InferenceError):  # noqa: N818 - a branch of the tree
    retryable = True
    provider_failure = True


class RateLimited(Transient):
    code = "rate_limited"
    provider_failure = False


class Overloaded(Transient):
    code = "overloaded"


class ProviderFault(Transient):
    code = "provider_fault"


class ProviderTimeout(Transient):
    code = "provider_timeout"


class ConnectionFailed(Transient):
    code = "connection_failed"


class AnswerIncomplete(Transient):
    code = "answer_incomplete"


class AnswerGarbled(InferenceError):  # noqa: N818 - part of the tree
    """The response is no valid answer. A retry would get the same response and be billed again.

    No breaker counts it, because the request may be the cause. In a probe, whose request is always
    the same, it is a failure.
    """

    code = "answer_garbled"


class Permanent(InferenceError):  # noqa: N818 - a branch of the tree
    code = "permanent"


class RequestRejected(Permanent):
    code = "request_rejected"


class AccessDenied(Permanent):
    code = "access_denied"
    account_wide = True


class BillingStopped(Permanent):
    code = "billing_stopped"
    account_wide = True


class NotPriced(Permanent):
    code = "not_priced"


class AnswerUnusable(InferenceError):  # noqa: N818 - a branch of the tree
    next_model = True


class Refused(AnswerUnusable):
    code = "refused"


class AnswerTruncated(AnswerUnusable):
    code = "answer_truncated"


class ContextExceeded(AnswerUnusable):
    code = "context_exceeded"


class UnexpectedStop(AnswerUnusable):
    code = "unexpected_stop"


class AnswerEmpty(AnswerUnusable):
    code = "answer_empty"


class Aborted(InferenceError):  # noqa: N818 - a branch of the tree
    code = "aborted"


class Cancelled(Aborted):
    """`reason` is the argument of `Cancel.cancel`."""

    code = "cancelled"

    def __init__(self, detail: str, *, reason: str, **facts: Unpack[Facts]) -> None:
        super().__init__(detail, **facts)
        self.reason = reason


class DeadlineReached(Aborted):
    code = "deadline_reached"
