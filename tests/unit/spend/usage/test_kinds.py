"""Each difference between a call's row and its bill has a kind."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aifeature.models import Attempt
from aifeature.services.spend.usage.calls import Kind, _kind
from aifeature.services.spend.usage.exports import Call
from workers.inference import TokenUsage

AT = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "bill", "kind"),
    [
        ("unknown", 900, Kind.SETTLES),
        ("unknown", 901, Kind.ABOVE),
        ("unknown", None, Kind.ABOVE),
        ("estimated", 300, Kind.WITHIN),
        ("estimated", 301, Kind.ABOVE),
        ("estimated", None, Kind.ABOVE),
        ("failed", 1, Kind.BILLED),
        ("started", 300, Kind.OPEN),
        ("settled", 300, None),
        ("settled", 301, Kind.TOKENS),
    ],
)
def test_a_bill_is_held_against_what_the_state_counts(
    state: str, bill: int | None, kind: Kind | None
) -> None:
    """An unknown call counts its bound of 900, an estimated one its ceiling of 300. The settled
    one was settled by hand, so that its tokens are not known."""
    row = Attempt(
        state=state,
        cost_micro=0 if state in {"unknown", "failed", "started"} else 300,
        bound_micro=900,
        model="claude-haiku-5-5",
        settled_at=AT if state == "settled" else None,
    )
    billed = Call("req_1", None, row.model, AT, ended=True, usage=TokenUsage(7, 7))
    assert _kind(row, [billed], bill) is kind
