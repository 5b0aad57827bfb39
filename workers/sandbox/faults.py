"""The fault plan: the faults, their calls and their number. It can change at any time."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from workers.sandbox.limits import RateLimits
from workers.sandbox.rejection import Rejection


class FaultKind(StrEnum):
    """The kinds of faults."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    API_ERROR = "api_error"
    GATEWAY_TIMEOUT = "gateway_timeout"
    PROXY_TIMEOUT = "proxy_timeout"
    BILLING = "billing"
    CREDIT_TOO_LOW = "credit_too_low"
    USAGE_LIMIT = "usage_limit"
    AUTHENTICATION = "authentication"
    ON_HOLD = "on_hold"
    PERMISSION = "permission"
    ENFORCED_SPEND_LIMIT = "enforced_spend_limit"
    CONTRACT_SPEND_LIMIT = "contract_spend_limit"
    SLOW_FIRST_BYTE = "slow_first_byte"
    STALL = "stall"
    CONNECTION_CUT = "connection_cut"
    STREAM_TRUNCATED = "stream_truncated"
    GARBLED_CHUNK = "garbled_chunk"
    ERROR_IN_STREAM = "error_in_stream"
    MALFORMED_OUTPUT = "malformed_output"
    REFUSAL = "refusal"
    MAX_TOKENS = "max_tokens"
    EMPTY_CONTENT = "empty_content"


STREAM_ONLY = {FaultKind.STREAM_TRUNCATED, FaultKind.ERROR_IN_STREAM}

_REJECTIONS: dict[FaultKind, tuple[int, str, str | None]] = {
    FaultKind.RATE_LIMITED: (429, "This request would exceed your rate limit.", None),
    FaultKind.OVERLOADED: (529, "Overloaded", None),
    FaultKind.API_ERROR: (500, "Internal server error", None),
    FaultKind.GATEWAY_TIMEOUT: (504, "Request timed out", None),
    FaultKind.BILLING: (402, "Your credit balance is too low.", None),
    # Two 400s of an account that cannot pay: only their message distinguishes them.
    FaultKind.CREDIT_TOO_LOW: (
        400,
        "Your credit balance is too low to access the API. Please purchase credits.",
        None,
    ),
    FaultKind.USAGE_LIMIT: (400, "You have reached your specified API usage limits.", None),
    FaultKind.AUTHENTICATION: (401, "invalid x-api-key", None),
    FaultKind.ON_HOLD: (400, "This organization is on hold.", "organization_on_hold"),
    FaultKind.PERMISSION: (403, "Your API key may not use this resource.", None),
    FaultKind.ENFORCED_SPEND_LIMIT: (
        429,
        "You have crossed the monthly usage threshold of your tier.",
        "enforced_spend_limit_reached",
    ),
    FaultKind.CONTRACT_SPEND_LIMIT: (
        429,
        "You have reached the spend limit of your contract.",
        "contract_spend_limit_reached",
    ),
}


class FaultRule(BaseModel):
    """One rule. It fires for matching calls until it has fired `times` times."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    probability: float = Field(default=1.0, ge=0, le=1)
    times: int | None = Field(default=None, ge=0)
    """Number of times it may still fire; None means no limit."""

    model: str | None = None
    stream: bool | None = None
    after_events: int | None = Field(default=None, ge=0)
    """Events of a stream that are sent before the fault; each kind has its own default."""

    seconds: float = Field(default=3600.0, ge=0)
    """Length of a slow first byte or a stall."""

    retry_after: float | None = Field(default=1.0, ge=0)
    """Seconds in `retry-after` of a `rate_limited`; None sends no header."""

    status: Literal[504, 524] = 504
    """HTTP status of the page of a `proxy_timeout`."""

    shape: Literal["invalid_json", "wrong_shape"] = "invalid_json"
    """The defect of a `malformed_output`."""

    def matches(self, *, model: str, stream: bool, structured: bool) -> bool:
        """Whether this rule applies to a call."""
        if self.times == 0 or self.model not in (None, model) or self.stream not in (None, stream):
            return False
        if self.kind in STREAM_ONLY:
            return stream
        return structured or self.kind is not FaultKind.MALFORMED_OUTPUT

    def cuts_at_once(self, *, stream: bool) -> bool:
        """Whether the connection ends before any answer."""
        if self.kind is not FaultKind.CONNECTION_CUT:
            return False
        return self.after_events is None or not stream

    def rejection(self) -> Rejection | None:
        """Return the error answer of this kind, or None if it is another kind of fault."""
        if self.kind not in _REJECTIONS:
            return None
        status, message, error_code = _REJECTIONS[self.kind]
        retry_after = self.retry_after if self.kind is FaultKind.RATE_LIMITED else None
        return Rejection(status, message, error_code=error_code, retry_after_s=retry_after)


class FaultPlan(BaseModel):
    """The rules, of which the first match applies, and limits that replace the settings."""

    model_config = ConfigDict(extra="forbid")

    rules: list[FaultRule] = Field(default_factory=list)
    seed: int = 0
    rate_limits: dict[str, RateLimits] | None = None
    """By model id, `*` for all others. None keeps the limits of the settings."""

    error_rates: float | None = Field(default=None, ge=0)
    """Factor of the rates of `/sandbox/rates`. None keeps the one of the settings."""


class Faults:
    """A plan and its random numbers."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._dice = random.Random(plan.seed)  # noqa: S311 - dice, not secrets

    def strike(self, *, model: str, stream: bool, structured: bool) -> FaultRule | None:
        """Return the rule that fires for this call, and count it."""
        for rule in self.plan.rules:
            if not rule.matches(model=model, stream=stream, structured=structured):
                continue
            if self._dice.random() < rule.probability:
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None
