"""Refusals of a request, each with its HTTP status, stable code and message for the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from aifeature.policies.rates import RateLimitStatus


class Refusal(Exception):  # noqa: N818 (a normal answer, not an error)
    """A refused request. `detail` is a sentence for the user."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "Bad request"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[dict[str, Any]] = (),
        retry_after_s: int | None = None,
        left: RateLimitStatus | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        """Problems by field: {"field": "a.b", "message": "..."}."""
        self.retry_after_s = retry_after_s
        self.left = left
        """The rate limit status, if it was read."""


class NotFound(Refusal):
    status, code, title = 404, "not_found", "Not found"


class AccessBlocked(Refusal):
    """An operator blocks the user from a feature, and wrote a sentence for them."""

    status, code, title = 403, "access_blocked", "Access blocked"


class IdempotencyConflict(Refusal):
    status, code, title = 409, "idempotency_conflict", "Key used for another request"


class InputTooLarge(Refusal):
    status, code, title = 413, "input_too_large", "Input too large"


class InvalidInput(Refusal):
    status, code, title = 422, "invalid_input", "Invalid input"


class InputRefused(InvalidInput):
    status, code, title = 422, "input_refused", "Input refused"


class GuardAway(Refusal):
    status, code, title = 503, "guard_away", "Temporarily unavailable"


class RateLimited(Refusal):
    status, code, title = 429, "rate_limited", "Too many requests"


class BudgetExhausted(Refusal):
    status, code, title = 429, "budget_exhausted", "Your budget is used up"


class BudgetReached(Refusal):
    status, code, title = 503, "budget_reached", "Limit reached"


class Overloaded(Refusal):
    status, code, title = 503, "overloaded", "Overloaded"


class NoWorker(Refusal):
    status, code, title = 503, "no_worker", "Temporarily unavailable"


class FeaturePaused(Refusal):
    status, code, title = 503, "feature_paused", "Feature paused"
