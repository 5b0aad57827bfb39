"""Every way a provider call can fail, each with its own verdict, so that no caller parses text.

InferenceError
├── Transient                 worth another try later
│   ├── RateLimited           429, with retry-after
│   ├── Overloaded            529
│   ├── ProviderFault         500, 502, 503 and other 5xx
│   ├── ProviderTimeout       504, 408, or no byte within our connect or idle limit
│   ├── ConnectionFailed      refused, reset, TLS, name lookup: nothing of an answer was seen
│   └── AnswerIncomplete      the stream ended or broke before its last event
├── Permanent                 the same call would fail again
│   ├── RequestRejected       400, 404, 409, 413, 422 and other 4xx
│   ├── AccessDenied          401, 403: the key, or what it may do (perhaps account-wide)
│   ├── BillingStopped        no credit, or a spend limit was reached (perhaps account-wide)
│   └── NotPriced             the model stands in no catalog or has no price: refused unsent
├── AnswerUnusable            a complete answer that another model might give better
│   ├── Refused               stop reason `refusal`
│   ├── AnswerTruncated       stop reason `max_tokens`
│   ├── ContextExceeded       stop reason `model_context_window_exceeded`
│   ├── UnexpectedStop        stop reason `tool_use`, `pause_turn`, none, or one that is not known
│   └── AnswerEmpty           no text
├── AnswerGarbled             something came that is no answer of the protocol, or is too large
└── Aborted                   by us: neither the provider's failure nor worth a retry of its own
    ├── Cancelled             the Cancel token was used; `reason` says why
    └── DeadlineReached       the request's own deadline passed

Deferred                      no failure: nothing was sent, it is to be asked again later
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict, Unpack

if TYPE_CHECKING:
    from workers.inference.types import Admission, TokenUsage


class Billing(Enum):
    """What is known about the bill of a failed call: `docs/decisions/billing.md` has the table."""

    NONE = "none"
    """The provider never got the request, or failed it: nothing is billed."""

    KNOWN = "known"
    """The whole usage was seen: `usage` and `cost_micro` say what it cost."""

    CEILING = "ceiling"
    """The answer began and was cut off: `usage` is what was reported by then, `cost_micro` the most
    that is billed."""

    UNSEEN = "unseen"
    """The request was sent and no answer began: it may be billed, up to its bound."""


class Facts(TypedDict, total=False):
    """What is known of a failed call; every error takes these by keyword."""

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

    Ask again after `wait_s`, as one that was booked: until then its place is kept from others.
    """

    text_is_ours: ClassVar = True
    """Its text is made of names and numbers of ours, so it may be logged."""

    def __init__(
        self,
        *,
        reason: Reason,
        wait_s: float,
        scope: str,
        outage: bool = False,
        probe: Admission | None = None,
    ) -> None:
        super().__init__(f"{reason} of {scope}: come back in {wait_s:.3f} s")
        self.reason: Reason = reason
        self.wait_s = wait_s
        """Seconds, above 0."""
        self.scope = scope
        """The model, the key of the user's tokens, or the provider account."""
        self.outage = outage
        """More than one model of the provider fails: the next one is not to be asked instead."""
        self.probe = probe
        """Leave to send a probe to the model now, and then to ask again; None: another one is
        under way, or it is not time yet. A caller that sends none gives it back."""

    @property
    def next_model(self) -> bool:
        """Whether the next model of the route may be asked at once."""
        return self.reason == "breaker" and not self.outage


class InferenceError(Exception):
    """A provider call failed. The class attributes are the verdict."""

    code: ClassVar[str] = "inference_error"
    """Stable name of the failure, stored with the attempt."""

    retryable: bool = False
    """Whether the same call may succeed later. The class says, unless the provider did."""

    provider_failure: ClassVar[bool] = False
    """Whether a circuit breaker counts it."""

    next_model: ClassVar[bool] = False
    """Whether the next model of the route should be tried at once."""

    account_wide: ClassVar[bool] = False
    """Whether it may be about the whole account. One answer proves nothing: a probe confirms it."""

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
        """For operators: what happened. Holds no prompt and no output."""
        self.retry_after_s = retry_after_s
        """Seconds the provider asked us to wait, or None."""
        self.request_id = request_id
        self.status = status
        """HTTP status, or None when there was no response, or none that spoke of an error."""
        self.billing = billing
        self.usage = usage
        self.cost_micro = cost_micro
        """Micro-dollars; set exactly when `billing` is KNOWN or CEILING."""
        self.text = text
        """What had been received of the answer."""
        self.stop_reason = stop_reason
        self.latency_ms = latency_ms
        self.ttft_ms = ttft_ms
        self.rate_limits: Mapping[str, str] = rate_limits or {}
        """The `anthropic-ratelimit-*` response headers, as sent."""
        self.usage_problem = usage_problem
        """Why the usage of a complete answer is not believed; empty if it is, or if none came."""


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
    """The same call would be answered by the same address in the same way, and be paid again.

    It says nothing of the model, since its request may be the cause: no breaker counts it. Of a
    probe, whose request is always the same, it is a failure.
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
    """`reason` is the word given to `Cancel.cancel`."""

    code = "cancelled"

    def __init__(self, detail: str, *, reason: str, **facts: Unpack[Facts]) -> None:
        super().__init__(detail, **facts)
        self.reason = reason


class DeadlineReached(Aborted):
    code = "deadline_reached"
