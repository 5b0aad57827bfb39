"""Rates of users and launches are made and ended with a reason, and audited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from aifeature.models import ControlChange, Launch, RateOverride
from tests.integration.admin.confirming import confirm, is_asking, submit
from tests.integration.admin.conftest import Staff
from tests.integration.job_rows import make_launch

pytestmark = pytest.mark.slow

RATES = "/admin/aifeature/rateoverride/"
LAUNCHES = "/admin/aifeature/launch/"


def trail() -> list[tuple[Any, ...]]:
    rows = ControlChange.objects.order_by("id")
    return [(row.feature, row.field, row.old, row.new, row.reason) for row in rows]


@pytest.fixture
def rates(customer: User) -> dict[str, Any]:
    return {
        "user": customer.pk,
        "group": "",
        "feature": "summarize",
        "requests_per_minute": "5",
        "tokens_per_minute": "",
        "in_flight": "2",
        "reason": "A large customer.",
        "expires_at_0": "2099-12-31",
        "expires_at_1": "12:00:00",
    }


def test_rates_are_audited(page: Client, boss: User, customer: User, rates: dict[str, Any]) -> None:
    assert submit(page, f"{RATES}add/", rates).status_code == 302
    row = RateOverride.objects.get()
    assert (row.user, row.feature, row.in_flight) == (customer, "summarize", 2)
    assert row.requests_per_minute == Decimal(5)
    assert (row.created_by, row.check_name) == (boss, "")
    assert row.created_at <= datetime.now(UTC)
    new = f"#{customer.pk}: 5 requests/min, 2 calls at once, until 2099-12-31 12:00 UTC"
    assert trail() == [("summarize", "rate_override", "", new, "A large customer.")]
    assert "customer: 5 requests/min" in page.get("/admin/aifeature/controlchange/").text
    text = page.get(RATES).text
    for part in ("customer", "Summarise a document", "in effect", "A large customer.", "boss"):
        assert part in text


def test_changed_rates_are_audited(page: Client, customer: User, rates: dict[str, Any]) -> None:
    submit(page, f"{RATES}add/", {**rates, "expires_at_0": "", "expires_at_1": ""})
    address = f"{RATES}{RateOverride.objects.get().pk}/change/"
    change = {**rates, "expires_at_0": "", "expires_at_1": ""}
    assert submit(page, address, {**change, "in_flight": "", "reason": "Less."}).status_code == 302
    assert trail()[1] == (
        "summarize",
        "rate_override",
        f"#{customer.pk}: 5 requests/min, 2 calls at once",
        f"#{customer.pk}: 5 requests/min",
        "Less.",
    )


def test_rates_of_a_group_for_every_feature(page: Client, rates: dict[str, Any]) -> None:
    group = Group.objects.create(name="partners")
    submit(page, f"{RATES}add/", {**rates, "user": "", "group": group.pk, "feature": ""})
    assert RateOverride.objects.get().group == group
    assert trail()[0][:2] == ("_everything", "rate_override")
    assert trail()[0][3].startswith("group partners: 5 requests/min")
    assert "Every feature" in page.get(RATES).text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reason": "  "}, "This field is required."),
        ({"user": ""}, "Choose either a user or a group."),
        ({"group": "one"}, "Choose either a user or a group."),
        ({"feature": "nothing"}, "Select a valid choice."),
        ({"requests_per_minute": "", "in_flight": ""}, "Enter at least one rate"),
        ({"requests_per_minute": "0"}, "Enter more than zero."),
        ({"requests_per_minute": "-1"}, "Enter more than zero."),
        ({"tokens_per_minute": "0"}, "Enter more than zero."),
        ({"in_flight": "0"}, "Enter more than zero."),
    ],
)
def test_incomplete_rates_are_refused(
    page: Client, rates: dict[str, Any], change: dict[str, str], message: str
) -> None:
    if change.get("group"):
        change = {"group": str(Group.objects.create(name="partners").pk)}
    answer = submit(page, f"{RATES}add/", {**rates, **change})
    assert answer.status_code == 200
    assert message in str(answer.context["adminform"].form.errors)
    assert not RateOverride.objects.exists()
    assert trail() == []


def lift(page: Client, pk: int, reason: str = "Calmed down.") -> Any:
    return page.post(f"{RATES}{pk}/lift/", {"_form_submitted": "on", "reason": reason})


def test_lifting_a_throttle_needs_a_reason(page: Client, staff: Staff, customer: User) -> None:
    throttle = RateOverride.objects.create(
        user=customer,
        feature="summarize",
        requests_per_minute=Decimal("0.1"),
        reason="3 times the usual.",
        check_name="control.cost_spike",
    )
    text = page.get(RATES).text
    assert "throttle" in text
    assert "control.cost_spike" in text
    editor = staff("view_rateoverride", "change_rateoverride")
    assert lift(editor, throttle.pk).status_code == 403
    assert "reason" in lift(page, throttle.pk, " ").context["form"].errors
    assert RateOverride.objects.exists()
    lifted = lift(staff("view_rateoverride", "delete_rateoverride"), throttle.pk)
    assert lifted["HX-Redirect"] == RATES
    assert not RateOverride.objects.exists()
    old = f"#{customer.pk}: 0.1 requests/min"
    assert trail() == [("summarize", "rate_override", old, "the feature's rates", "Calmed down.")]


def test_rates_and_launches_are_not_deleted_without_a_reason(page: Client, customer: User) -> None:
    rate = RateOverride.objects.create(user=customer, in_flight=1, reason="r")
    for address in (f"{RATES}{rate.pk}/delete/", f"{LAUNCHES}{make_launch().pk}/delete/"):
        assert page.post(address, {"post": "yes"}).status_code == 403
    assert lift(page, rate.pk + 1).status_code == 404


def test_expired_rates_are_marked_and_name_no_user(page: Client, customer: User) -> None:
    past = datetime.now(UTC) - timedelta(seconds=5)
    rate = RateOverride.objects.create(user=customer, in_flight=1, reason="r", expires_at=past)
    text = page.get(RATES).text
    assert "expired" in text
    assert "in effect" not in text
    assert "customer" not in str(rate)


def test_rates_are_stored_only_after_their_blast_radius_was_shown(
    page: Client, customer: User, boss: User, rates: dict[str, Any]
) -> None:
    partners = Group.objects.create(name="partners")
    partners.user_set.add(customer, boss)
    address = f"{RATES}add/?user={customer.pk}&feature=summarize"
    asked = page.post(address, {**rates, "user": "", "group": partners.pk})
    assert is_asking(asked)
    for part in (
        "Blast radius",
        "It applies to 2 users.",
        "0 jobs wait, 0 run.",
        "<dt>Group</dt><dd><strong>partners</strong>",
        "<dt>Calls at once</dt><dd><strong>2</strong>",
        "A large customer.",
    ):
        assert part in asked.text
    assert not RateOverride.objects.exists()
    assert "You went back" in confirm(page, asked, address, _back="1").text
    other = confirm(page, asked, address, in_flight="3")
    assert is_asking(other), "other values than those shown need a confirmation of their own"
    assert not RateOverride.objects.exists()
    assert trail() == []
    assert confirm(page, asked, address).status_code == 302
    row = RateOverride.objects.get()
    assert (row.group, row.in_flight) == (partners, 2)

    address = f"{RATES}{row.pk}/change/"
    own = {**rates, "group": "", "requests_per_minute": "9"}
    asked = page.post(address, own)
    for part in ("It applies to 1 user.", "<span>partners</span>", "<strong>customer</strong>"):
        assert part in asked.text
    RateOverride.objects.filter(pk=row.pk).update(requests_per_minute=7)
    late = confirm(page, asked, address)
    assert is_asking(late), "the rate that it showed was changed since"
    assert "<span>7.00</span>" in late.text
    assert confirm(page, late, address).status_code == 302
    reworded = {**own, "reason": "As agreed."}
    assert page.post(address, reworded).status_code == 302, "a reason alone affects nobody"
    row.refresh_from_db()
    assert (row.user, row.requests_per_minute, row.reason) == (customer, Decimal(9), "As agreed.")


@pytest.fixture
def launch() -> dict[str, Any]:
    return {
        "feature": "summarize",
        "note": "The spring campaign.",
        "factor": "3",
        "hours": "36",
        "starts_at_0": "2099-03-01",
        "starts_at_1": "09:00:00",
    }


def test_a_launch_has_a_factor_and_hours(page: Client, boss: User, launch: dict[str, Any]) -> None:
    asked = page.post(f"{LAUNCHES}add/", launch)
    assert is_asking(asked)
    for part in (
        "Blast radius",
        "may use it",
        "2099-03-01 09:00:00 UTC",
        "Note: The spring campaign.",
    ):
        assert part in asked.text
    assert not Launch.objects.exists(), "nothing is stored before the confirmation"
    assert is_asking(confirm(page, asked, f"{LAUNCHES}add/", factor="4"))
    assert confirm(page, asked, f"{LAUNCHES}add/").status_code == 302
    row = Launch.objects.get()
    assert (row.factor, row.announced_by) == (Decimal(3), boss)
    assert row.ends_at - row.starts_at == timedelta(hours=36)
    new = "3 times the usual, 2099-03-01 09:00 to 2099-03-02 21:00 UTC"
    assert trail() == [("summarize", "launch", "", new, "The spring campaign.")]
    assert "upcoming" in page.get(LAUNCHES).text
    address = f"{LAUNCHES}{row.pk}/change/"
    assert page.get(address).context["adminform"].form["hours"].value() == 36
    assert submit(page, address, {**launch, "hours": "12.5"}).status_code == 302
    row.refresh_from_db()
    assert row.ends_at - row.starts_at == timedelta(hours=12.5)
    assert trail()[1][2:4] == (
        "3 times the usual, 2099-03-01 09:00 to 2099-03-02 21:00 UTC",
        "3 times the usual, 2099-03-01 09:00 to 2099-03-01 21:30 UTC",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("factor", value) for value in ("0.9", "")),
        *(("hours", value) for value in ("0", "337", "NaN", "")),
        ("note", "  "),
        ("feature", "nothing"),
        ("starts_at_0", "soon"),
    ],
)
def test_an_invalid_launch_is_refused(
    page: Client, db: None, launch: dict[str, Any], field: str, value: str
) -> None:
    answer = submit(page, f"{LAUNCHES}add/", {**launch, field: value})
    assert answer.status_code == 200
    errors = str(answer.context["adminform"].form.errors)
    assert errors
    assert ("A launch raises the expected spend" in errors) == (value == "0.9")
    assert not Launch.objects.exists()
    assert trail() == []


def test_a_withdrawal_needs_a_reason(page: Client, staff: Staff, launch: dict[str, Any]) -> None:
    submit(page, f"{LAUNCHES}add/", {**launch, "feature": "_everything"})
    address = f"{LAUNCHES}{Launch.objects.get().pk}/withdraw/"
    form = {"_form_submitted": "on", "reason": "Put off."}
    assert staff("view_launch", "change_launch").post(address, form).status_code == 403
    assert page.post(address, {**form, "reason": ""}).context["form"].errors
    assert Launch.objects.exists()
    page.post(address, form)
    assert not Launch.objects.exists()
    assert trail()[1][0] == "_everything"
    assert trail()[1][3:] == ("", "Put off.")


def test_a_user_can_be_given_by_an_id(page: Client, customer: User, rates: dict[str, Any]) -> None:
    assert 'name="user-id"' in page.get(f"{RATES}add/").text
    typed = {**rates, "user": "", "user-id": f" {customer.pk} "}
    assert submit(page, f"{RATES}add/", typed).status_code == 302
    assert RateOverride.objects.get().user == customer
    for wrong in ("0", "customer", "1,2", str(10**30)):
        again = submit(page, f"{RATES}add/", {**typed, "user-id": wrong})
        assert "user" in again.context["adminform"].form.errors
