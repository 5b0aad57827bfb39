"""Settling many calls together: the preview, the settled calls, and the others."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from aifeature.admin.spend.ledger import AttemptAdmin
from aifeature.models import Attempt, AttemptState, SpendWindow
from aifeature.services.spend import bulk_settlement, settlement
from tests.integration.admin.conftest import MakeAttempt, MakeJob, Staff

pytestmark = pytest.mark.slow

LIST = "/admin/aifeature/attempt/"
SETTLE = f"{LIST}settle-many/"
REASON = "Their report of the day."
BOUND, CEILING = 99_000, 2_000

MakeCalls = Callable[..., list[Attempt]]


@pytest.fixture
def calls(make_job: MakeJob, make_attempt: MakeAttempt) -> MakeCalls:
    """Make `count` calls of one job, and count them in their windows."""
    job = make_job()
    numbers: Iterator[int] = iter(range(1, 10_000))

    def make(count: int, state: AttemptState = AttemptState.UNKNOWN, **more: Any) -> list[Attempt]:
        cost = CEILING if state is AttemptState.ESTIMATED else 0
        values = {"state": state, "cost_micro": cost, "error_code": "cancelled", **more}
        made = [make_attempt(job, number=next(numbers), **values) for _ in range(count)]
        for scope, key in (("feature", job.feature), ("global", "")):
            window, _ = SpendWindow.objects.get_or_create(scope=scope, key=key, day=made[0].day)
            window.spent_micro += sum(call.spend_micro for call in made)
            window.save()
        return made

    return make


def choose(page: Client, *chosen: Attempt, query: str = "", across: bool = False) -> Any:
    """Run the action on these rows of the list, or on all that match its filter."""
    form = {
        "action": "settle_many",
        "select_across": "1" if across else "0",
        "_selected_action": [str(call.pk) for call in chosen],
    }
    return page.post(f"{LIST}{query}", form)


def hidden(answer: Any) -> dict[str, str]:
    """The hidden fields of the form."""
    form = answer.context["form"]
    values = {name: form[name].value() for name in ("calls", "settled", "skipped")}
    return {name: str(value) for name, value in values.items() if value is not None}


def settle(page: Client, answer: Any, bill: str = "nothing", **more: str) -> Any:
    return page.post(SETTLE, {**hidden(answer), "bill": bill, "reason": REASON, **more})


def spent() -> dict[str, int]:
    return {window.scope: window.spent_micro for window in SpendWindow.objects.all()}


def states(rows: list[Attempt]) -> list[tuple[str, int]]:
    found = Attempt.objects.filter(pk__in=[row.pk for row in rows]).order_by("number")
    return list(found.values_list("state", "cost_micro"))


def test_the_preview_lists_calls_and_amounts(page: Client, calls: MakeCalls) -> None:
    unknown = calls(2)
    estimated = calls(1, AttemptState.ESTIMATED, error_code="answer_incomplete")
    settled = calls(1, AttemptState.SETTLED)
    answer = choose(page, *unknown, *estimated, *settled)
    assert dict(answer.context["facts"]) == {
        "Calls": "3",
        "Unknown, counted at their bound": "2",
        "Estimated, counted at their ceiling": "1",
        "Counted as spent now": "$0.200000",
        "If nothing was billed": "$0.000000",
        "If the counted amount was billed": "$0.200000",
    }
    day = str(unknown[0].day)
    assert answer.context["groups"]["rows"] == [
        [day, "Summarise a document", "Estimated", "answer_incomplete", "1", "$0.002000"],
        [day, "Summarise a document", "Unknown", "cancelled", "2", "$0.198000"],
    ]
    assert states(unknown) == [("unknown", 0)] * 2


@pytest.mark.parametrize(("bill", "costs"), [("nothing", (0, 0)), ("counted", (BOUND, CEILING))])
def test_one_choice_and_one_reason_settle_each_call_with_a_record_of_its_own(
    page: Client, boss: User, calls: MakeCalls, bill: str, costs: tuple[int, int]
) -> None:
    unknown, estimated = calls(1), calls(1, AttemptState.ESTIMATED)
    left = calls(1)
    before = spent()
    settle(page, choose(page, *unknown, *estimated), bill)
    assert states(unknown + estimated) == [("settled", cost) for cost in costs]
    assert states(left) == [("unknown", 0)]
    change = sum(costs) - BOUND - CEILING
    assert spent() == {scope: micro + change for scope, micro in before.items()}
    for row in Attempt.objects.filter(state="settled"):
        assert (row.settled_by, row.settled_reason) == (boss, REASON)
        assert row.settled_at is not None
        (entry,) = LogEntry.objects.filter(object_id=str(row.pk))
        assert REASON in entry.change_message
    assert LogEntry.objects.count() == 2


def test_all_pages_of_a_filter_are_chosen_and_no_other(page: Client, calls: MakeCalls) -> None:
    old = calls(60, day=date(2026, 11, 1), error_code="lease_lost")
    other = calls(1, feature="removed")
    chosen = choose(page, old[0], query="?bill=person&feature=summarize", across=True)
    settle(page, chosen)
    assert {state for state, _ in states(old)} == {"settled"}
    assert states(other) == [("unknown", 0)]


def test_the_list_offers_to_choose_what_can_be_settled(page: Client, calls: MakeCalls) -> None:
    calls(2)
    calls(3, AttemptState.SETTLED)
    calls(1, AttemptState.ESTIMATED)
    assert "Select all 3 calls with unconfirmed cost" in page.get(LIST).text


def test_many_calls_are_settled_in_steps(
    page: Client, calls: MakeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_settlement, "BATCH", 2)
    rows = calls(5)
    answer = settle(page, choose(page, *rows))
    seen = []
    while answer.status_code == 200:
        seen.append((answer.context["done"], answer.context["total"]))
        assert "data-continue" in answer.text
        answer = settle(page, answer)
    assert seen == [(2, 5), (4, 5)]
    assert answer["Location"] == LIST
    assert "5 calls settled. 0 skipped" in page.get(LIST).text
    assert states(rows) == [("settled", 0)] * 5


def test_a_thousand_calls_are_one_choice(page: Client, calls: MakeCalls) -> None:
    (first,) = calls(1)
    copies = [copy.copy(first) for _ in range(1_000)]
    for number, row in enumerate(copies, 2):
        row.pk, row.number = uuid4(), number
    Attempt.objects.bulk_create(copies)
    SpendWindow.objects.update(spent_micro=1_001 * BOUND)
    answer = choose(page, first, query="?bill=unsure", across=True)
    assert dict(answer.context["facts"])["Calls"] == "1,001"
    answer = settle(page, answer)
    assert (answer.context["done"], answer.context["total"]) == (bulk_settlement.BATCH, 1_001)
    assert set(spent().values()) == {(1_001 - bulk_settlement.BATCH) * BOUND}


def test_a_selection_above_the_limit_is_cut(
    page: Client, calls: MakeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_settlement, "LIMIT", 2)
    rows = calls(3)
    assert "Only the oldest" not in choose(page, *rows[:2]).text
    answer = choose(page, *rows)
    assert "Only the oldest" in answer.text
    settle(page, answer)
    assert states(rows) == [("settled", 0), ("settled", 0), ("unknown", 0)]


def test_a_call_settled_meanwhile_is_skipped_and_counted(page: Client, calls: MakeCalls) -> None:
    first, second = calls(2)
    answer = choose(page, first, second)
    settlement.settle_unknown(
        attempt_id=first.pk, cost_usd=Decimal("0.01"), reason="Mine.", user_id=None
    )
    settle(page, answer)
    assert "1 call settled. 1 skipped" in page.get(LIST).text
    assert states([first, second]) == [("settled", 10_000), ("settled", 0)]
    first.refresh_from_db()
    assert first.settled_reason == "Mine."


def test_a_call_that_the_ledger_does_not_have_is_skipped(page: Client, calls: MakeCalls) -> None:
    (row,) = calls(1)
    settle(page, choose(page, row), calls=f"{uuid4()},{row.pk}")
    assert "1 call settled. 1 skipped" in page.get(LIST).text
    assert states([row]) == [("settled", 0)]


def test_a_call_whose_record_cannot_be_written_is_not_settled(
    page: Client, calls: MakeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = calls(1)
    answer = choose(page, *rows)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(AttemptAdmin, "log_change", full)
    with pytest.raises(OSError, match="no space left"):
        settle(page, answer)
    assert states(rows) == [("unknown", 0)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("reason", "  "), ("bill", ""), ("bill", "everything"), ("calls", "x"), ("calls", "")],
)
def test_invalid_forms_are_refused(page: Client, calls: MakeCalls, field: str, value: str) -> None:
    rows = calls(1)
    answer = settle(page, choose(page, *rows), **{field: value})
    assert field in answer.context["form"].errors
    assert 'id="not-saved"' in answer.text
    assert states(rows) == [("unknown", 0)]


def test_a_choice_without_an_unsure_call_changes_nothing(page: Client, calls: MakeCalls) -> None:
    rows = calls(1, AttemptState.SETTLED)
    assert choose(page, *rows).status_code == 302
    assert "There is nothing to settle" in page.get(LIST).text


def test_settling_many_needs_the_permission(staff: Staff, calls: MakeCalls) -> None:
    rows = calls(1)
    reader = staff("view_attempt", "change_attempt")
    assert "settle_many" not in reader.get(LIST).text
    choose(reader, *rows)
    form = {"calls": str(rows[0].pk), "settled": "0", "skipped": "0"}
    answer = reader.post(SETTLE, {**form, "bill": "nothing", "reason": REASON})
    assert answer.status_code == 403
    assert states(rows) == [("unknown", 0)]
    settler = staff("view_attempt", "settle_attempt")
    settle(settler, choose(settler, *rows))
    assert states(rows) == [("settled", 0)]


def test_the_address_of_a_step_leads_back_to_the_list(page: Client, db: None) -> None:
    assert page.get(SETTLE)["Location"] == LIST


def test_error_codes_of_calls_are_escaped(page: Client, calls: MakeCalls) -> None:
    evil = "<script>alert(1)</script>"
    text = choose(page, *calls(1, error_code=evil, started_at=datetime.now(UTC))).content.decode()
    assert evil not in text
    assert re.search(r"&lt;script&gt;alert\(1\)", text)
