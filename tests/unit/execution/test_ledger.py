"""Each kind of bill has its state in the ledger, and no word of ours is cut."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from aifeature.models import Attempt, AttemptState, transitions
from aifeature.models.transitions import Settlement
from aifeature.services.execution import job_run, lease, ledger
from workers.inference import (
    AnswerIncomplete,
    Billing,
    Cancelled,
    InferenceRequest,
    TokenUsage,
    pricing,
)

REQUEST = InferenceRequest(
    attempt_id=uuid4(), model="claude-haiku-5-5", system=(), messages=(), max_tokens=5
)


@pytest.mark.parametrize(
    ("billing", "state"),
    [
        (Billing.NONE, AttemptState.FAILED),
        (Billing.KNOWN, AttemptState.SETTLED),
        (Billing.CEILING, AttemptState.ESTIMATED),
        (Billing.UNSEEN, AttemptState.UNKNOWN),
    ],
)
def test_each_kind_of_bill_is_a_state_of_the_call(billing: Billing, state: AttemptState) -> None:
    assert ledger.failed(REQUEST, AnswerIncomplete("cut", billing=billing)).state is state


def test_every_kind_of_bill_has_a_state() -> None:
    assert set(ledger._STATES) == set(Billing)


def test_an_estimated_call_keeps_its_ceiling_and_the_reported_tokens() -> None:
    error = AnswerIncomplete(
        "cut", billing=Billing.CEILING, usage=TokenUsage(11, 1, 5, 3), cost_micro=502
    )
    found = ledger.failed(REQUEST, error)
    assert found.cost_micro == 502
    assert (found.input_tokens, found.output_tokens) == (11, 1)
    assert (found.cache_read_tokens, found.cache_write_tokens) == (5, 3)


@pytest.mark.parametrize(("shown", "worth"), [("", 0), ("A sentence.", 121)])
def test_a_user_who_cancels_is_charged_for_the_prompt_and_what_they_were_shown(
    shown: str, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 x 4 + 5 x 0.20 + 4 x 5 for the prompt, and 3 tokens at 20: 121 micro-dollars."""
    door = SimpleNamespace(delivered_micro=pricing.delivered_micro)
    monkeypatch.setattr(ledger, "gateway", lambda: door)
    cut = Settlement(
        uuid4(),
        AttemptState.ESTIMATED,
        cost_micro=900,
        input_tokens=10,
        output_tokens=1,
        cache_read_tokens=5,
        cache_write_tokens=4,
    )
    found = ledger.cancelled_by_user(cut, model="claude-opus-5-5", shown=shown)
    assert (found.ended_by, found.delivered_text) == ("user", shown)
    assert found.delivered_micro == worth
    assert (found.state, found.cost_micro) == (AttemptState.ESTIMATED, 900)


@pytest.mark.parametrize(
    ("reason", "shown"), [(lease.USER, "The sum"), (lease.PAUSED, ""), (lease.STOPPING, "")]
)
def test_only_the_users_own_cancellation_takes_the_shown_text_along(
    reason: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although they may cancel while another end is being stored."""
    door = SimpleNamespace(delivered_micro=pricing.delivered_micro)
    monkeypatch.setattr(ledger, "gateway", lambda: door)
    run: Any = SimpleNamespace(stream=SimpleNamespace(delivered=lambda: "The sum"))
    cut, stopped = Settlement(uuid4(), AttemptState.ESTIMATED), Cancelled("x", reason=reason)
    outcome = job_run._Run._after_error(run, stopped, cut, "claude-opus-5-5")
    settlement = outcome.settlement
    assert settlement is not None
    assert settlement.delivered_text == shown
    assert settlement.ended_by == ("user" if shown else "")


def figures(**values: str) -> dict[str, object]:
    settlement = Settlement(uuid4(), AttemptState.ESTIMATED, **values)  # type: ignore[arg-type]
    _, stored = transitions.settled(settlement)
    assert stored is not None
    found: dict[str, object] = json.loads(stored)
    return found


@pytest.mark.parametrize("state", AttemptState)
def test_the_column_of_the_state_holds_every_state(state: AttemptState) -> None:
    width = Attempt._meta.get_field("state").max_length
    assert width is not None
    assert len(state.value) <= width


@pytest.mark.parametrize("name", ["state", "error_code"])
def test_a_word_of_ours_that_does_not_fit_is_an_error_and_never_cut(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(transitions._WIDTHS, name, 8)
    given = {} if name == "state" else {name: "estimated"}
    with pytest.raises(ValueError, match=f"{name} 'estimated' is longer than its column's 8"):
        figures(**given)


def test_values_of_the_provider_are_cut_to_their_columns() -> None:
    found = figures(stop_reason="x" * 99, request_id="y" * 99)
    assert found["stop_reason"] == "x" * 40
    assert found["request_id"] == "y" * 80
