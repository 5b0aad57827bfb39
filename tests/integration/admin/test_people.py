"""Admin's pages about people and shadows."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import AccessBlock, ControlChange, RateOverride, Shadow, SpendWindow
from aifeature.models.functions import database_now
from aifeature.services.shadows import report, running
from tests import proof
from tests.integration.admin.conftest import Staff

pytestmark = pytest.mark.slow

PEOPLE = "/admin/aifeature/refusedsubmissions/"
SHADOWS = "/admin/aifeature/shadow/"


def spent(user: User) -> None:
    SpendWindow.objects.create(
        scope="account", key=str(user.pk), day=database_now().date(), own_spend_micro=2_500_000
    )


def test_names_and_buttons_are_for_those_who_may_see_and_use_them(
    page: Client, staff: Staff, customer: User
) -> None:
    spent(customer)
    shown = page.get(f"{PEOPLE}?days=7&by=spend&feature=nonsense").text
    assert f">{customer.username}</h2>" in shown
    assert "$2.50" in shown
    for model, name in (("rateoverride", "Throttle"), ("accessblock", "Block")):
        address = f"/admin/aifeature/{model}/add/?user={customer.pk}&amp;feature="
        assert re.search(rf'href="{re.escape(address)}"[^>]*>.*?{name}</a>', shown)
        form = page.get(address.replace("&amp;", "&") + "summarize").text
        assert f'<option value="{customer.pk}" selected' in form
        assert '<option value="summarize" selected' in form

    few = staff("view_refusedsubmissions").get(PEOPLE).text
    assert f">#{customer.pk}</h2>" in few
    assert customer.username not in few
    assert "/add/?user=" not in few
    assert staff("view_job").get(PEOPLE).status_code == 403


def test_reasons_are_for_those_who_may_see_the_rows(staff: Staff, customer: User) -> None:
    spent(customer)
    AccessBlock.objects.create(user=customer, reason="Resold answers.", message="Blocked.")
    RateOverride.objects.create(user=customer, in_flight=1, reason="A noisy script.")
    blocks, rates = "Resold answers.", "A noisy script."
    for rights, shown in (
        ((), set()),
        (("view_accessblock",), {blocks}),
        (("change_accessblock",), {blocks}),
        (("view_rateoverride",), {rates}),
        (("change_rateoverride",), {rates}),
    ):
        text = staff("view_refusedsubmissions", *rights).get(PEOPLE).text
        assert {each for each in (blocks, rates) if each in text} == shown, rights
        assert text.count("Reason:") == len(shown)
        for part in ("Blocked from every feature.", "Own rates in every feature: 1 calls at once."):
            assert part in text


def test_a_shadow_is_started_shown_and_stopped_with_reasons(page: Client, staff: Staff) -> None:
    proof.open_to_users("summarize")
    values = {
        "feature": "summarize",
        "version": "v4",
        "percent": 5,
        "daily_budget_usd": "2.00",
        "days": 7,
        "reason": "Is v3 cheaper?",
    }
    refused = page.post(f"{SHADOWS}add/", values)
    assert "the live version" in str(refused.context["adminform"].form.errors)
    assert page.post(f"{SHADOWS}add/", {**values, "version": "v3"}).status_code == 302
    shadow = Shadow.objects.get()
    assert "is running" in page.post(f"{SHADOWS}add/", {**values, "version": "v2"}).text

    address = f"{SHADOWS}{shadow.pk}/"

    def stop(client: Client, reason: str) -> None:
        client.post(f"{address}stop/", {"_form_submitted": "on", "reason": reason})

    shown = page.get(f"{address}change/").text
    assert report.NO_EVIDENCE in shown
    assert "/featurecontrol/summarize/prompts/#v3" in shown
    viewer = staff("view_shadow")
    assert viewer.get(f"{address}change/").status_code == 200
    stop(viewer, "Enough.")
    assert running.of("summarize") == shadow
    stop(page, "")
    assert running.of("summarize") == shadow
    stop(page, "Enough.")
    assert running.of("summarize") is None
    assert [
        each.reason for each in ControlChange.objects.filter(field="shadow").order_by("id")
    ] == [
        "Is v3 cheaper?",
        "Enough.",
    ]
