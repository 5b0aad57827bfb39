"""Settling a call of unknown outcome: its permission, its form, and its display."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from aifeature.admin.spend.ledger import AttemptAdmin
from aifeature.models import Attempt, AttemptState
from aifeature.services.spend.settlement import Tokens
from tests.integration.admin.conftest import MakeAttempt, MakeJob, Staff

pytestmark = pytest.mark.slow

LIST = "/admin/aifeature/attempt/"
FORM = {"_form_submitted": "on", "cost_usd": "0.0123", "reason": "Their usage page."}


@pytest.fixture
def unknown(make_job: MakeJob, make_attempt: MakeAttempt) -> Attempt:
    return make_attempt(make_job(), state=AttemptState.UNKNOWN, cost_micro=0, error_code="lost")


def page_of(attempt: Attempt) -> str:
    return reverse("admin:aifeature_attempt_change", args=(attempt.pk,))


def button_of(attempt: Attempt) -> str:
    return f"{LIST}{attempt.pk}/settle/"


def now(attempt: Attempt) -> Attempt:
    attempt.refresh_from_db()
    return attempt


def test_a_call_is_settled_with_a_reason(staff: Staff, unknown: Attempt) -> None:
    page = staff("view_attempt", "settle_attempt")
    assert button_of(unknown) in page.get(page_of(unknown)).text
    dialog = page.get(button_of(unknown)).text
    assert "Settle this call" in dialog
    assert "$0.099000, the maximum cost" in dialog
    answer = page.post(button_of(unknown), {**FORM, "output_tokens": "7"})
    assert answer["HX-Redirect"] == page_of(unknown)
    row = now(unknown)
    assert (row.state, row.cost_micro, row.output_tokens) == ("settled", 12_300, 7)
    assert row.settled_by is not None
    shown = page.get(page_of(unknown)).text
    for part in ("Settled by hand", "Their usage page.", row.settled_by.username, "$0.012300"):
        assert part in shown
    assert button_of(unknown) not in shown
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user_id) == (str(unknown.pk), row.settled_by.pk)
    assert "Settled at $0.012300: Their usage page." in entry.change_message


def test_settling_needs_its_own_permission(staff: Staff, unknown: Attempt) -> None:
    page = staff("view_attempt", "change_attempt", "delete_attempt", "add_attempt")
    assert button_of(unknown) not in page.get(page_of(unknown)).text
    assert page.get(button_of(unknown)).status_code == 403
    assert page.post(button_of(unknown), FORM).status_code == 403
    assert now(unknown).state == "unknown"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reason", "   "),
        *(("cost_usd", cost) for cost in ("", "-0.01", "0.0000001", "nothing", "10000000")),
        *((name, value) for name in Tokens.__slots__ for value in ("-1", "2147483648")),
    ],
)
def test_invalid_forms_are_refused(page: Client, unknown: Attempt, field: str, value: str) -> None:
    response = page.post(button_of(unknown), {**FORM, field: value})
    assert response.status_code == 200
    assert field in response.context["form"].errors
    assert now(unknown).state == "unknown"
    assert not LogEntry.objects.exists()


def test_a_call_whose_record_cannot_be_written_is_not_settled(
    page: Client, unknown: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(AttemptAdmin, "log_change", full)
    with pytest.raises(OSError, match="no space left"):
        page.post(button_of(unknown), FORM)
    assert now(unknown).state == "unknown"


def test_the_second_of_two_reads_who_was_first(page: Client, unknown: Attempt) -> None:
    page.post(button_of(unknown), FORM)
    answer = page.post(button_of(unknown), {**FORM, "cost_usd": "1", "reason": "Mine."})
    assert answer["HX-Redirect"] == page_of(unknown)
    assert "boss settled this call before" in page.get(page_of(unknown)).text
    assert now(unknown).cost_micro == 12_300
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize("state", ["settled", "failed", "started"])
def test_a_known_call_has_no_button(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt, state: str
) -> None:
    more: dict[str, Any] = {"ended_at": None} if state == "started" else {}
    attempt = make_attempt(make_job(), state=state, **more)
    shown = page.get(page_of(attempt)).text
    assert button_of(attempt) not in shown
    assert "Settled by hand" not in shown


@pytest.mark.parametrize("what", ["4f6c1c1e-0000-4000-8000-000000000000", "nonsense"])
def test_settling_what_is_not_there_is_not_found(page: Client, db: None, what: str) -> None:
    assert page.get(f"{LIST}{what}/settle/").status_code == 200
    assert page.post(f"{LIST}{what}/settle/", FORM).status_code == 404


def test_the_front_page_counts_calls_that_need_a_person_and_leads_to_them(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt, unknown: Attempt
) -> None:
    removed = make_attempt(make_job(feature="removed"), state=AttemptState.UNKNOWN)
    for values in ({}, {"state": "unknown", "own_spend": True}, {"state": "estimated"}):
        make_attempt(make_job(), **values)
    front = page.get("/admin/")
    assert front.context["unknown"]["count"] == "2"
    found = page.get(front.context["unknown"]["url"]).text
    assert front.context["unknown"]["url"] in front.text
    for attempt in (unknown, removed):
        assert str(attempt.pk) in found
    assert found.count("/change/?") == 2
    for attempt in (unknown, removed):
        page.post(button_of(attempt), FORM)
    front = page.get("/admin/")
    assert front.context["unknown"] is None
    assert {card["calls"]["unknown"] for card in front.context["cards"]} == {"0"}


def test_the_list_has_a_filter_for_unsure_bills(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt, unknown: Attempt
) -> None:
    estimated = make_attempt(make_job(), state=AttemptState.ESTIMATED)
    settled = make_attempt(make_job())
    unsure = page.get(f"{LIST}?bill=unsure").text
    shown = [str(call.pk) in unsure for call in (unknown, estimated, settled)]
    assert shown == [True, True, False]


def test_the_page_of_a_job_shows_a_settlement_by_hand(page: Client, unknown: Attempt) -> None:
    page.post(button_of(unknown), FORM)
    shown = page.get(reverse("admin:aifeature_job_change", args=(unknown.job_id,))).text
    assert "settled by hand on" in shown


def test_a_user_who_settled_is_not_deleted(page: Client, boss: User, unknown: Attempt) -> None:
    page.post(button_of(unknown), FORM)
    LogEntry.objects.all().delete()
    answer = page.post(f"/admin/auth/user/{boss.pk}/delete/", {"post": "yes"})
    assert answer.status_code in {200, 403}
    assert User.objects.filter(pk=boss.pk).exists()
    refusal = page.get(f"/admin/auth/user/{boss.pk}/delete/").text
    assert "boss has settled calls in the ledger" in refusal


def test_an_estimated_call_shows_its_ceiling(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt
) -> None:
    values = {"cost_micro": 2_000, "input_tokens": 5, "output_tokens": 1}
    call = make_attempt(make_job(), state=AttemptState.ESTIMATED, **values)
    assert "at most $0.002000" in page.get(page_of(call)).text
    assert "at most $0.002000" in page.get(LIST).text
    story = page.get(reverse("admin:aifeature_job_change", args=(call.job_id,))).text
    assert "5 in, 1 out tokens reported before it was cut off" in story
    assert "counted at its ceiling, $0.0020" in story
    assert "Counted until now: $0.002000" in page.get(button_of(call)).text
    page.post(button_of(call), FORM)
    assert (now(call).state, now(call).cost_micro) == ("settled", 12_300)


def test_an_unknown_call_shows_no_tokens(page: Client, unknown: Attempt) -> None:
    story = page.get(reverse("admin:aifeature_job_change", args=(unknown.job_id,))).text
    assert "counted at its upper bound" in story
    assert "0 in, 0 out" not in story
