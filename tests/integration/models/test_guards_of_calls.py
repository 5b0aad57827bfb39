"""The database refuses wrong changes of calls in the ledger from any writer."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from django.db.models.functions import Now

from aifeature.models import UNSURE, Attempt, AttemptState
from tests.integration.job_rows import MakeCall
from tests.integration.models.guarded_rows import change, other, refused

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

STATES = {
    AttemptState.STARTED: {AttemptState.SETTLED, AttemptState.FAILED, *UNSURE},
    **{state: {AttemptState.SETTLED} for state in UNSURE},
}
CALL_CONTENT = {"request", "output", "error_detail"}
CALL_FIELDS = [field.name for field in Attempt._meta.concrete_fields]
OF_A_SETTLEMENT = {
    *("settled_by", "settled_reason", "settled_at", "cost_micro", "state"),
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
}
OF_AN_ENDING = {
    *OF_A_SETTLEMENT,
    *CALL_CONTENT,
    *("own_spend", "cache_saved_micro"),
    *("latency_ms", "ttft_ms", "stop_reason", "request_id", "error_code", "ended_at"),
}


@pytest.mark.parametrize(("old", "new"), list(product(AttemptState, AttemptState)))
def test_a_call_makes_only_allowed_transitions(
    make_call: MakeCall, old: AttemptState, new: AttemptState
) -> None:
    call = make_call(old)
    values: dict[str, Any] = {
        "state": new,
        "ended_at": None if new is AttemptState.STARTED else call.ended_at or Now(),
    }
    if old in UNSURE and new is AttemptState.SETTLED:
        values |= {"settled_reason": "Usage page.", "settled_at": Now()}
    if new in STATES.get(old, ()) or old is new:
        change(call, **values)
        call.refresh_from_db()
        assert call.state == new
    else:
        message = refused(call, f"aifeature_attempt {call.pk}: changing", **values)
        assert f"state from {old.value} to {new.value} is refused" in message


def test_a_call_has_no_state_of_another_name(make_call: MakeCall) -> None:
    values = {"state": "lost", "ended_at": Now()}
    refused(make_call(AttemptState.STARTED), "An open call may become settled", **values)


@pytest.mark.parametrize("name", sorted(set(CALL_FIELDS) - OF_AN_ENDING))
def test_the_begin_of_a_call_never_changes(make_call: MakeCall, name: str) -> None:
    call = make_call(AttemptState.STARTED)
    refused(call, "What a call was when it was begun never changes", **{name: other(call, name)})


@pytest.mark.parametrize("state", ["settled", "failed", "estimated", "unknown"])
@pytest.mark.parametrize("name", CALL_FIELDS)
def test_no_column_of_a_closed_call_changes(make_call: MakeCall, state: str, name: str) -> None:
    call = make_call(AttemptState(state))
    new = "started" if (name, state) == ("state", "failed") else other(call, name)
    values = {name: new, **({"ended_at": None} if new == "started" else {})}
    refused(call, f"aifeature_attempt {call.pk}: changing", **values)


@pytest.mark.parametrize("state", sorted(UNSURE))
@pytest.mark.parametrize("name", sorted(set(CALL_FIELDS) - OF_A_SETTLEMENT))
def test_settling_changes_only_cost(make_call: MakeCall, name: str, state: AttemptState) -> None:
    call = make_call(state)
    why = {"state": "settled", "settled_reason": "Usage page.", "settled_at": Now()}
    refused(call, f"aifeature_attempt {call.pk}: changing", **why, **{name: other(call, name)})


@pytest.mark.parametrize("state", sorted(UNSURE))
@pytest.mark.parametrize("values", [{"settled_at": Now()}, {"settled_reason": "Usage page."}])
def test_settling_needs_a_reason(
    make_call: MakeCall, values: dict[str, Any], state: AttemptState
) -> None:
    call = make_call(state)
    refused(call, "settling it without a reason is refused", state="settled", **values)


@pytest.mark.parametrize("state", ["settled", "failed", "estimated", "unknown"])
def test_the_content_of_a_closed_call_may_be_emptied(make_call: MakeCall, state: str) -> None:
    call = make_call(AttemptState(state))
    change(call, request=None, output="", error_detail="")
    call.refresh_from_db()
    assert (call.request, call.output, call.error_detail) == (None, "", "")
