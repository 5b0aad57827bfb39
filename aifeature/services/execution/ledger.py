"""Conversion of inference results to ledger rows: a call before it is sent, and its settlement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from django.conf import settings

from aifeature.models import AttemptState
from aifeature.models.transitions import NewAttempt, Settlement
from aifeature.prompts import Prompt
from aifeature.services.guards import outputs
from aifeature.services.provider import gateway
from aifeature.spec import Purpose
from workers.inference import (
    AnswerGarbled,
    AnswerUnusable,
    Billing,
    InferenceError,
    InferenceRequest,
    InferenceResult,
    TextBlock,
    TokenUsage,
)

GARBLED: Final = AnswerGarbled.code
CACHED_SHOWN: Final = 2_000
"""Characters of a cached block that are stored with each call."""

USAGE_UNSEEN: Final = "usage_unseen"
"""Error code of an answered call whose reported usage cannot be right."""

_STATES = {
    Billing.NONE: AttemptState.FAILED,
    Billing.KNOWN: AttemptState.SETTLED,
    Billing.CEILING: AttemptState.ESTIMATED,
    Billing.UNSEEN: AttemptState.UNKNOWN,
}


def opened(
    request: InferenceRequest, *, purpose: Purpose, prompt: Prompt | None, reason: str = ""
) -> NewAttempt:
    """Return the ledger row of a call that is about to be sent.

    `reason` is the reason for its model.

    Raises InferenceError if the model has no price or its schema cannot be sent.
    """
    return NewAttempt(
        id=request.attempt_id,
        purpose=purpose,
        provider=settings.AIFEATURE["PROVIDER"],
        model=request.model,
        prompt_version=prompt.version if prompt else "",
        prompt_hash=prompt.hash if prompt else "",
        request=_as_sent(request),
        bound_micro=gateway().upper_bound_micro(request),
        reason=reason,
    )


def ended(
    request: InferenceRequest, answer: InferenceResult | InferenceError, purpose: Purpose
) -> Settlement:
    """Return the settlement of a call."""
    if isinstance(answer, InferenceResult):
        return answered(request, answer)
    settlement = failed(request, answer)
    if purpose is Purpose.PROBE and isinstance(answer, AnswerUnusable):
        # A probe may write one token, so a cut answer is expected.
        return replace(settlement, error_code="", error_detail="")
    return settlement


def answered(request: InferenceRequest, result: InferenceResult) -> Settlement:
    """Return the settlement of a call that was answered in full.

    If the reported usage cannot be right, the cost is unknown: the call counts at its bound and the
    user is not charged.
    """
    if result.usage_problem:
        return Settlement(
            attempt=request.attempt_id,
            state=AttemptState.UNKNOWN,
            output=result.text,
            latency_ms=result.latency_ms,
            ttft_ms=result.ttft_ms,
            stop_reason=result.stop_reason,
            request_id=result.request_id or "",
            error_code=USAGE_UNSEEN,
            error_detail=result.usage_problem,
        )
    return Settlement(
        attempt=request.attempt_id,
        state=AttemptState.SETTLED,
        output=result.text,
        cost_micro=result.cost_micro,
        cache_saved_micro=result.cache_saved_micro,
        latency_ms=result.latency_ms,
        ttft_ms=result.ttft_ms,
        stop_reason=result.stop_reason,
        request_id=result.request_id or "",
        **_tokens(result.usage),
    )


def failed(request: InferenceRequest, error: InferenceError) -> Settlement:
    """Return the settlement of a failed call. Its state depends on what is known of the bill."""
    return Settlement(
        attempt=request.attempt_id,
        state=_STATES[error.billing],
        output=error.text,
        cost_micro=error.cost_micro or 0,
        latency_ms=error.latency_ms,
        ttft_ms=error.ttft_ms,
        stop_reason=error.stop_reason or "",
        request_id=error.request_id or "",
        error_code=error.code,
        error_detail="; ".join(filter(None, (error.detail, error.usage_problem))),
        **_tokens(error.usage or TokenUsage()),
    )


def without_content(settlement: Settlement, why: str) -> Settlement:
    """Return the settlement without text from the provider, which the database refused."""
    return replace(
        settlement,
        output="",
        stop_reason="",
        request_id="",
        delivered_text="",
        delivered_micro=0,
        error_code=settlement.error_code or GARBLED,
        error_detail=f"its answer could not be stored: {why}",
    )


def unseen(settlement: Settlement, why: str) -> Settlement:
    """Return a settlement that counts the bound, for a call whose end cannot be stored."""
    return Settlement(
        attempt=settlement.attempt,
        state=AttemptState.UNKNOWN,
        error_code=GARBLED,
        error_detail=f"its end could not be stored: {why}",
    )


def cancelled_by_user(settlement: Settlement, *, model: str, shown: str) -> Settlement:
    """Return the settlement of a call that the user cancelled after reading the `shown` text.

    The call counts as the user's own spend, and the user is charged for the text.
    """
    usage = TokenUsage(**{name: getattr(settlement, name) for name in TokenUsage.__slots__})
    worth = gateway().delivered_micro(model, usage, shown) if shown else 0
    return replace(settlement, ended_by="user", delivered_text=shown, delivered_micro=worth)


def _tokens(usage: TokenUsage) -> dict[str, Any]:
    return {name: getattr(usage, name) for name in TokenUsage.__slots__}


def _shortened(block: TextBlock) -> str:
    more = len(block.text) - CACHED_SHOWN
    if more <= 0:
        return block.text
    return f"{block.text[:CACHED_SHOWN]}\n[and {more:,} characters of the prompt's knowledge]"


def _as_sent(request: InferenceRequest) -> dict[str, Any]:
    """Return the system text and messages as stored in the ledger row.

    A cached block is the same for all calls of a prompt hash, so only its beginning is stored.
    """

    def text(blocks: tuple[TextBlock, ...]) -> str:
        return "\n\n".join(_shortened(block) if block.cache else block.text for block in blocks)

    return {
        "system": outputs.without_canary(text(request.system)),
        "messages": [
            {"role": message.role, "content": text(message.content)} for message in request.messages
        ],
        "max_tokens": request.max_tokens,
        "stream": request.stream,
    }
