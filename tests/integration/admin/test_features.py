"""Feature control: each change has its audit row, its reason and its permission."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature import registry
from aifeature.admin.controls import limit_words
from aifeature.models import ControlChange, FeatureControl, SpendWindow
from aifeature.services.controls import effective, switch
from aifeature.services.provider import model_views
from aifeature.services.provider.model_views import LimitStatus, Live
from aifeature.system_checks import LARGEST_SHARE, largest_bound_micro
from tests import proof
from tests.integration.admin.confirming import confirm, is_asking, submit
from tests.integration.admin.conftest import Staff
from workers.inference import catalog

pytestmark = pytest.mark.slow

LIST = "/admin/aifeature/featurecontrol/"
DETAIL = f"{LIST}summarize/change/"
GLOBAL = f"{LIST}_5Feverything/change/"


def shown(page: Client, address: str = DETAIL) -> dict[str, Any]:
    """The values that a browser would send back unchanged."""
    form = page.get(address).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    for name in ("beta_users", "beta_groups"):
        values[name] = [getattr(row, "pk", row) for row in values.get(name) or []]
    return {
        name: value for name, value in values.items() if value is not None and value is not False
    }


def save(page: Client, address: str = DETAIL, /, **changes: Any) -> Any:
    """Save the form, and confirm the change if the page requests it."""
    return submit(page, address, {**shown(page, address), **changes})


def landed(page: Client, saved: Any) -> Any:
    """The page to which a save leads."""
    return page.get(saved["Location"])


def trail(slug: str = "summarize") -> list[tuple[str, str, str]]:
    rows = ControlChange.objects.filter(feature=slug).order_by("id")
    return [(row.field, row.old, row.new) for row in rows]


def test_every_feature_of_the_code_is_listed_and_a_row_means_off(page: Client, db: None) -> None:
    text = page.get(LIST).text
    assert "Everything" in text
    for slug, feature in registry.all_features().items():
        assert feature.title in text
        assert effective.cache.get(slug) == effective.Control()
    assert not ControlChange.objects.exists()


def test_a_change_is_audited_with_who_and_why(page: Client, boss: User) -> None:
    proof.activate("summarize")
    response = save(page, stage="beta", daily_budget_usd="12.50", reason="Launch.")
    assert response.status_code == 302
    row = FeatureControl.objects.get(feature="summarize")
    assert (row.stage, row.daily_budget_usd) == ("beta", Decimal("12.50"))
    assert sorted(trail()) == [("daily_budget_usd", "", "12.50"), ("stage", "off", "beta")]
    change = ControlChange.objects.filter(field="stage").get()
    assert (change.user, change.reason) == (boss, "Launch.")
    assert "Launch." in page.get(DETAIL).text


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_change_without_a_reason_is_refused(page: Client, reason: str) -> None:
    response = save(page, stage="everyone", reason=reason)
    assert response.status_code == 200
    assert "reason" in response.context["adminform"].form.errors
    assert FeatureControl.objects.get(feature="summarize").stage == "off"
    assert trail() == []


def test_saving_the_page_unchanged_writes_nothing(page: Client) -> None:
    assert save(page, reason="Just looking.").status_code == 302
    assert trail() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("percent", "101"),
        ("daily_budget_usd", "-1"),
        ("user_daily_budget_usd", "-0.01"),
        ("requests_per_minute", "0"),
        ("requests_per_minute", "0.001"),
        ("tokens_per_minute", "0"),
        ("user_in_flight", "0"),
        ("deadline_s", "0"),
        ("deadline_s", "3001"),
        ("retention_days", "0"),
        ("retention_days", "3651"),
        ("prompt_version", "v99"),
    ],
)
def test_a_value_out_of_range_is_refused(page: Client, field: str, value: str) -> None:
    response = save(page, **{field: value}, reason="Try.")
    assert response.status_code == 200
    assert field in response.context["adminform"].form.errors
    assert trail() == []


@pytest.mark.parametrize(
    ("address", "field"),
    [
        *((DETAIL, name) for name in ("user_daily_budget_usd", "user_daily_spend_usd")),
        (GLOBAL, "user_daily_spend_usd"),
    ],
)
def test_a_cap_below_the_largest_input_is_refused(page: Client, address: str, field: str) -> None:
    bound = max(largest_bound_micro(each) for each in registry.offered().values())
    below, enough = (Decimal(bound // 10_000 + more) / 100 for more in (0, 1))
    response = save(page, address, **{field: str(below)}, reason="Save money.")
    (error,) = response.context["adminform"].form.errors[field]
    assert f"reserves up to ${enough}: it could never be sent. Enter more." in error
    assert not ControlChange.objects.exists()
    assert save(page, address, **{field: str(enough)}, reason="Save money.").status_code == 302


def test_a_spend_cap_that_a_few_users_reach_gets_a_warning(page: Client) -> None:
    daily = registry.get("summarize").limits.daily_budget_usd
    assert daily is not None
    values = {"user_daily_spend_usd": str(daily / LARGEST_SHARE)}
    landed(page, save(page, **values, reason="A fifth."))
    assert "a few users can stop it" not in page.get(LIST).text
    values = {"user_daily_spend_usd": str(daily / LARGEST_SHARE + 1)}
    response = landed(page, save(page, **values, reason="More."))
    assert "a few users can stop it for all" in response.text
    assert len(trail()) == 2, "it is allowed"
    response = landed(page, save(page, percent="5", reason="Ramp."))
    assert "a few users can stop it" not in response.text, "other changes do not repeat it"


@pytest.mark.parametrize(
    "values", [{"user_daily_budget_usd": "15"}, {"daily_budget_usd": "50"}], ids=str
)
def test_a_cap_that_a_few_users_reach_gets_a_warning(page: Client, values: dict[str, str]) -> None:
    """A user may cost twice the charge; the feature's day may become small as well."""
    response = landed(page, save(page, **values, reason="Save."))
    assert "a few users can stop it for all" in response.text
    assert len(trail()) == 1, "it is allowed"


def test_a_cap_that_was_too_small_before_is_not_in_the_way_of_other_changes(page: Client) -> None:
    values = {"user_daily_spend_usd": Decimal("0.01")}
    effective.change("summarize", values, reason="Before the form asked.", check_name="test")
    assert save(page, percent="5", reason="Ramp.").status_code == 302


def test_a_page_opened_before_a_trip_cannot_release_the_switch(page: Client) -> None:
    opened = shown(page)
    effective.change("summarize", {"killed": True}, reason="Cost.", check_name="cost spike")
    response = page.post(DETAIL, {**opened, "percent": "5", "reason": "Ramp up."})
    assert response.status_code == 200
    assert "changed while you had the page open" in response.text
    assert FeatureControl.objects.get(feature="summarize").killed


def test_invited_users_are_audited(page: Client, customer: User, boss: User) -> None:
    save(page, beta_users=[customer.pk], reason="Pilot.")
    save(page, beta_users=[boss.pk], reason="Swap.")
    assert trail() == [
        ("beta_users", "0 users", f"1 users (+#{customer.pk})"),
        ("beta_users", "1 users", f"1 users (+#{boss.pk}, -#{customer.pk})"),
    ]
    for address in (DETAIL, "/admin/aifeature/controlchange/"):
        assert "1 users (+boss, -customer)" in page.get(address).text
    User.objects.filter(pk=customer.pk).update(username="erased-7")
    assert "1 users (+boss, -erased-7)" in page.get(DETAIL).text


def placeholder(page: Client, name: str, address: str = DETAIL) -> str:
    """The text of the field while it has no value."""
    form = page.get(address).context["adminform"].form
    return str(form[name].field.widget.attrs["placeholder"])


def test_fields_without_a_value_show_what_holds_and_today_is_shown(page: Client) -> None:
    day = datetime.now(UTC).date()
    make = SpendWindow.objects.create
    make(scope="feature", key="summarize", day=day, spent_micro=1_500_000, held_micro=20)
    make(scope="global", key="", day=day, spent_micro=7_000_000)
    text = page.get(DETAIL).text
    budget = registry.get("summarize").limits.daily_budget_usd
    assert placeholder(page, "daily_budget_usd") == f"${budget:,.2f}, from the code"
    assert "Empty:" not in text + page.get(GLOBAL).text
    assert "$1.500000 spent, $0.000020 held" in text
    assert "$7.000000 spent" in page.get(GLOBAL).text


def test_everything_has_only_its_caps(page: Client, settings: Any) -> None:
    own = {"GLOBAL_MONTHLY_BUDGET_USD": Decimal(900), "EVALS_DAILY_BUDGET_USD": Decimal(7)}
    settings.AIFEATURE = {**settings.AIFEATURE, **own}
    assert "stage" not in shown(page, GLOBAL)
    text = page.get(GLOBAL).text
    budgets = [each.limits.daily_budget_usd for each in registry.offered().values()]
    total = 7 + sum(budget for budget in budgets if budget is not None)
    assert f"Now: ${total:.2f}, the sum of the features" in text
    budget = placeholder(page, "monthly_budget_usd", GLOBAL)
    assert budget == "$900.00, from GLOBAL_MONTHLY_BUDGET_USD"
    values = {"daily_budget_usd": "40", "monthly_budget_usd": "700", "stage": "everyone"}
    assert save(page, GLOBAL, **values, reason="Budget round.").status_code == 302
    row = FeatureControl.objects.get(feature="_everything")
    assert (row.daily_budget_usd, row.monthly_budget_usd) == (Decimal(40), Decimal(700))
    assert row.stage == "off"
    assert sorted(trail("_everything")) == [
        ("daily_budget_usd", "", "40"),
        ("monthly_budget_usd", "", "700"),
    ]


def test_the_month_is_shown_beside_the_day(page: Client) -> None:
    today = datetime.now(UTC).date()
    make = SpendWindow.objects.create
    make(scope="global", key="", day=today, spent_micro=7_000_000)
    make(scope="month", key="", day=today.replace(day=1), spent_micro=81_000_000)
    save(page, GLOBAL, monthly_budget_usd="90", reason="r")
    effective.cache.clear()
    text = page.get(GLOBAL).text
    assert "$7.00" in text
    assert "$81.00" in text
    assert "90% of the cap used" in text


def test_prompts_rates_and_retention_can_be_set(page: Client) -> None:
    limits = registry.get("summarize").limits
    rates = ("requests_per_minute", "tokens_per_minute", "user_in_flight")
    for name in (*rates, "retention_days"):
        assert placeholder(page, name) == f"{getattr(limits, name):,}, from the code"
    values = dict(zip(rates, ("0.1", "5000", "2"), strict=True))
    other = {"retention_days": "14", "prompt_version": "v2"}
    assert save(page, **values, **other, reason="Slower.").status_code == 302
    row = FeatureControl.objects.get(feature="summarize")
    assert [getattr(row, name) for name in rates] == [Decimal("0.10"), 5000, 2]
    assert (row.retention_days, row.prompt_version) == (14, "v2")
    assert ("retention_days", "", "14") in trail()


def test_invited_users_can_be_given_by_ids(page: Client, boss: User, customer: User) -> None:
    save(page, beta_users=[customer.pk], **{"beta_users-id": f"{boss.pk}, "}, reason="Pilot.")
    assert set(FeatureControl.objects.get(feature="summarize").beta_users.all()) == {boss, customer}


def test_the_form_flips_no_switch(page: Client) -> None:
    save(page, killed="on", kill_reason="r", release_percent="5", reason="Try.")
    row = FeatureControl.objects.get(feature="summarize")
    assert (row.killed, row.release_percent) == (False, 100)
    assert trail() == []


def test_a_page_shows_alerts_and_the_trips_of_checks(page: Client) -> None:
    figures = {"spent_micro": 9_000_000, "ratio": 3.5}
    switch.trip("summarize", check="control.cost_spike", reason="3.5 times.", figures=figures)
    text = page.get(DETAIL).text
    for part in ("Last trips", "control.cost_spike", "spent $9.00", "ratio 3.5", "3.5 times."):
        assert part in text
    assert "Kill switch: summarize" in text
    assert "deploy/runbooks/kill-switch.md" in text
    everything = page.get(GLOBAL).text
    assert "Kill switch: summarize" in everything
    assert "spent $9.00" in everything


def test_a_page_lists_only_its_own_breakers(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    left = (LimitStatus("requests", 4_000, 3_987),)
    live = Live("half_open", calls=50, failure_rate=0.62, slow_rate=0.1, limits=left)
    monkeypatch.setattr(model_views, "_live", lambda _model: live)
    text = page.get(DETAIL).text
    for part in ("half-open, testing", "62% of 50", "10%", "requests: 3,987 of 4,000/min"):
        assert part in text
    own = registry.get("summarize").models
    for model in catalog.known_models():
        assert (model in text) == (model in own)
        assert model in page.get(GLOBAL).text


def test_looking_is_not_changing(staff: Staff, page: Client) -> None:
    opened = shown(page)
    viewer = staff("view_featurecontrol")
    assert viewer.get(DETAIL).status_code == 200
    refused = viewer.post(DETAIL, {**opened, "stage": "everyone", "reason": "r"})
    assert refused.status_code == 403
    assert FeatureControl.objects.get(feature="summarize").stage == "off"


@pytest.mark.parametrize(
    ("permission", "part"),
    [
        ("view_controlchange", "Last trips"),
        ("view_modelcontrol", "Models: circuit breakers"),
        ("view_alert", "Kill switch: summarize"),
    ],
)
def test_a_part_needs_its_permission(staff: Staff, db: None, permission: str, part: str) -> None:
    switch.trip("summarize", check="c", reason="r", figures={})
    assert part not in staff("view_featurecontrol").get(DETAIL).text
    assert part in staff("view_featurecontrol", permission).get(DETAIL).text


@pytest.mark.parametrize("value", [None, 1_000_000_000, 5_000_000_000])
def test_a_limit_that_nothing_reaches_reads_as_no_limit(value: int | None) -> None:
    feature = registry.get("summarize")
    wide = {"daily_budget_usd": None, "requests_per_minute": value, "tokens_per_minute": value}
    limits = feature.limits.model_copy(update=wide)
    words = limit_words.of_feature(feature.model_copy(update={"limits": limits}))
    assert {words[name].unset for name in wide} == {"no limit"}


def test_a_viewer_sees_no_hints_about_empty_fields(staff: Staff) -> None:
    FeatureControl.objects.create(feature="summarize")
    text = staff("view_featurecontrol").get(DETAIL).text
    assert "Maximum spend of all users in one UTC day." in text
    assert "Empty:" not in text


def test_a_failed_save_names_each_error_at_the_top(page: Client) -> None:
    page.get(DETAIL)
    for values, errors in (
        ({"percent": "200"}, ("Percent", "Reason")),
        ({"daily_budget_usd": "-1", "reason": "r"}, ("Daily budget",)),
        ({"seen": "2020-01-01", "reason": "r"}, ("changed while you had the page open",)),
    ):
        text = save(page, **values).text
        top = text[text.index('id="not-saved"') :]
        top = top[: top.index("</ul>")]
        assert 'role="alert"' in text
        assert all(error in top for error in errors), top
        assert text.index('id="not-saved"') < text.index("aif-facts"), "above the day's figures"
    assert 'id="not-saved"' not in page.get(DETAIL).text


def test_a_change_is_stored_only_after_its_blast_radius_was_shown(
    page: Client, boss: User, customer: User
) -> None:
    proof.activate("summarize")
    typed = {"stage": "beta", "beta_users": [boss.pk, customer.pk], "daily_budget_usd": "12.50"}
    asked = page.post(DETAIL, {**shown(page), **typed, "reason": "A <b>pilot</b>."})
    assert is_asking(asked)
    for part in (
        "Blast radius",
        "2 of 2 users may use it after this (now 0).",
        "0 jobs wait, 0 run.",
        "a daily budget of $12.50",
        "<strong>12.50</strong>",
        "A &lt;b&gt;pilot&lt;/b&gt;.",
        "boss, customer",
    ):
        assert part in asked.text
    assert trail() == []
    assert not FeatureControl.objects.get(feature="summarize").beta_users.exists(), "only counted"

    back = confirm(page, asked, DETAIL, _back="1")
    assert "You went back" in back.text
    assert back.context["adminform"].form["stage"].value() == "beta", "the entries are kept"
    other = confirm(page, asked, DETAIL, stage="everyone")
    assert is_asking(other), "other values than those shown need a confirmation of their own"
    assert trail() == []

    assert confirm(page, asked, DETAIL).status_code == 302
    assert {field for field, *_ in trail()} == {"stage", "beta_users", "daily_budget_usd"}
    assert set(FeatureControl.objects.get(feature="summarize").beta_users.all()) == {boss, customer}
    late = confirm(page, asked, DETAIL)
    assert "changed while you had the page open" in late.text


def test_a_harmless_change_needs_no_confirmation(page: Client) -> None:
    sent = {**shown(page), "retention_days": "14", "reason": "Less."}
    assert page.post(DETAIL, sent).status_code == 302
    assert trail() == [("retention_days", "", "14")]
