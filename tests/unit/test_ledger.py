"""What becomes of a call's bill in the ledger, and that no word of it is cut."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from aifeature.models import Attempt, AttemptState, transitions
from aifeature.models.transitions import Settlement
from aifeature.services import ledger
from workers.inference import AnswerIncomplete, Billing, InferenceRequest, TokenUsage

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
def test_what_is_known_of_a_bill_is_a_state_of_the_call(
    billing: Billing, state: AttemptState
) -> None:
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


def test_what_the_provider_sends_is_cut_to_its_column() -> None:
    found = figures(stop_reason="x" * 99, request_id="y" * 99)
    assert found["stop_reason"] == "x" * 40
    assert found["request_id"] == "y" * 80
