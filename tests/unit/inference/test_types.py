"""The cancel token, and errors that carry their verdict."""

from __future__ import annotations

import pytest

from workers.inference.errors import (
    Billing,
    BillingStopped,
    Cancelled,
    InferenceError,
    Overloaded,
    RateLimited,
    Refused,
)
from workers.inference.types import Cancel, TokenUsage


def test_a_cancel_breaks_the_call_in_flight_and_keeps_its_first_reason() -> None:
    broken: list[str] = []
    cancel = Cancel()
    cancel.on_cancel(lambda: broken.append("now"))
    cancel.cancel("user")
    cancel.cancel("switch")
    assert cancel.reason == "user"
    assert broken == ["now", "now"]


def test_a_call_that_starts_under_a_used_token_is_broken_at_once() -> None:
    broken: list[str] = []
    cancel = Cancel()
    cancel.cancel("user")
    cancel.on_cancel(lambda: broken.append("at once"))
    assert broken == ["at once"]


def test_a_call_that_has_ended_is_left_alone() -> None:
    broken: list[str] = []
    cancel = Cancel()
    cancel.on_cancel(lambda: broken.append("no"))
    cancel.on_cancel(None)
    cancel.cancel("late")
    assert broken == []


def test_all_kinds_of_input_make_up_the_prompt() -> None:
    assert TokenUsage(1, 2, 3, 4).prompt_tokens == 8


@pytest.mark.parametrize(
    ("kind", "retryable", "counts", "next_model"),
    [
        (RateLimited, True, False, False),
        (Overloaded, True, True, False),
        (BillingStopped, False, False, False),
        (Refused, False, False, True),
    ],
)
def test_the_class_is_the_verdict(
    kind: type[InferenceError], *, retryable: bool, counts: bool, next_model: bool
) -> None:
    error = kind("why")
    assert error.retryable is retryable
    assert error.provider_failure is counts
    assert error.next_model is next_model
    assert error.billing is Billing.UNSEEN


def test_the_provider_may_overrule_retries_for_one_error_only() -> None:
    assert RateLimited("why", retryable=False).retryable is False
    assert RateLimited("why").retryable is True


def test_a_cancelled_call_has_its_reason_and_the_received_text() -> None:
    error = Cancelled("why", reason="switch", text="Hel", latency_ms=7)
    assert (error.reason, error.text, error.latency_ms) == ("switch", "Hel", 7)
