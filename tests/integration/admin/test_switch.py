"""The kill switch in admin: the dialog shows the jobs it stops, and each flip is audited."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import ControlChange, FeatureControl, KillMode, SpendWindow, Status
from aifeature.services.controls import effective, switch
from tests.integration.admin.conftest import MakeJob, Staff

pytestmark = pytest.mark.slow

LIST = "/admin/aifeature/featurecontrol/"
DETAIL = f"{LIST}summarize/change/"
GLOBAL = f"{LIST}_5Feverything/change/"
STOP = f"{LIST}summarize/stop/"
RELEASE = f"{LIST}summarize/release/"
CHANGE_REASON = f"{LIST}summarize/change_reason/"
STOP_ALL = f"{LIST}_5Feverything/stop/"


def pull(page: Client, address: str = STOP, **values: str) -> Any:
    form = {"_form_submitted": "on", "mode": "hold", "reason": "Bad answers.", **values}
    return page.post(address, form)


def let_go(page: Client, address: str = RELEASE, **values: str) -> Any:
    form = {"_form_submitted": "on", "percent": "100", "reason": "Mended.", **values}
    return page.post(address, form)


def row(slug: str = "summarize") -> FeatureControl:
    return FeatureControl.objects.get(feature=slug)


@pytest.fixture
def under_way(make_job: MakeJob) -> None:
    """Two jobs run, three wait, and $1.20 of $1.50 is held for the feature."""
    for _ in range(2):
        make_job(status=Status.RUNNING, epoch=1, lease_until="2099-01-01T00:00Z")
    for _ in range(3):
        make_job()
    make_job(feature="another")
    make = SpendWindow.objects.create
    make(scope="feature", key="summarize", day="2026-11-22", held_micro=1_200_000)
    make(scope="global", key="", day="2026-11-22", held_micro=1_500_000)


def test_the_dialog_first_shows_what_it_will_stop(page: Client, under_way: None) -> None:
    text = page.get(STOP).text
    assert "Summarise a document" in text
    assert "2 running, 3 queued, $1.20 held" in text
    everything = page.get(STOP_ALL).text
    assert "every feature" in everything
    assert "2 running, 4 queued, $1.50 held" in everything


def test_each_opening_of_the_dialog_counts_again(page: Client, make_job: MakeJob) -> None:
    assert "0 running, 0 queued, $0.00 held" in page.get(STOP).text
    make_job()
    assert "0 running, 1 queued" in page.get(STOP).text


def test_a_tiny_held_amount_is_not_shown_as_zero(page: Client, db: None) -> None:
    SpendWindow.objects.create(scope="feature", key="summarize", day="2026-11-22", held_micro=7)
    assert "$0.01 held" in page.get(STOP).text


@pytest.mark.parametrize("mode", KillMode.values)
def test_a_stop_stores_its_author_reason_and_mode(page: Client, boss: User, mode: str) -> None:
    page.get(LIST)
    assert pull(page, mode=mode)["HX-Redirect"] == LIST
    stopped = row()
    assert (stopped.killed, stopped.kill_reason, stopped.kill_mode) == (True, "Bad answers.", mode)
    change = ControlChange.objects.get(field="killed")
    assert (change.user, change.reason, change.new) == (boss, "Bad answers.", "True")
    text = page.get(DETAIL).text
    assert "Stopped by its kill switch" in text
    assert "Bad answers." in text
    assert "(boss, " in text
    assert ("its jobs are held" if mode == "hold" else "its jobs are cancelled") in text
    assert "stopped" in page.get(LIST).text


@pytest.mark.parametrize(("field", "value"), [("reason", "  "), ("mode", "delete"), ("mode", "")])
def test_a_stop_needs_a_reason_and_a_mode(page: Client, field: str, value: str) -> None:
    page.get(LIST)
    answer = pull(page, **{field: value})
    assert answer.status_code == 200
    assert field in answer.context["form"].errors
    assert not row().killed


def test_the_release_shows_who_pulled_it_when_and_why(page: Client, boss: User) -> None:
    pull(page)
    pulled = ControlChange.objects.get(field="killed")
    text = page.get(RELEASE).text
    for part in ("boss", f"{pulled.at:%Y-%m-%d %H:%M:%S} UTC", "Bad answers.", "held"):
        assert part in text
    let_go(page)
    assert not row().killed
    assert ControlChange.objects.filter(field="killed", new="False").get().reason == "Mended."
    assert "Stopped by its kill switch" not in page.get(DETAIL).text


def test_a_trip_names_its_check_in_the_release(page: Client, db: None) -> None:
    switch.trip("summarize", check="control.cost_spike", reason="3 times.", figures={"x": 1})
    text = page.get(RELEASE).text
    assert "control.cost_spike" in text
    assert "3 times." in text


def test_a_partial_release_is_shown_and_can_be_raised(page: Client, db: None) -> None:
    pull(page)
    let_go(page, percent="20")
    assert (row().killed, row().release_percent) == (False, 20)
    assert "released for 20 % of users" in page.get(LIST).text
    for address in (DETAIL, "/admin/"):
        assert "Released for 20 % of users" in page.get(address).text
    assert "released for 20 % of users" in page.get(RELEASE).text
    let_go(page, percent="60")
    assert row().release_percent == 60
    let_go(page)
    assert row().release_percent == 100
    assert "Released for" not in page.get(DETAIL).text


@pytest.mark.parametrize(
    ("field", "value"),
    [*(("percent", percent) for percent in ("0", "101", "-5", "", "many")), ("reason", " ")],
)
def test_an_invalid_release_is_refused(page: Client, db: None, field: str, value: str) -> None:
    pull(page)
    answer = let_go(page, **{field: value})
    assert answer.status_code == 200
    assert field in answer.context["form"].errors
    assert row().killed


def test_a_release_never_lowers_the_share(page: Client, db: None) -> None:
    page.get(LIST)
    answer = let_go(page, percent="10")
    assert "there is nothing to release" in answer.text
    assert row().release_percent == 100
    pull(page)
    let_go(page, percent="50")
    for percent in ("50", "20"):
        assert "released for 50 % of users already" in let_go(page, percent=percent).text
    assert row().release_percent == 50


def test_pulling_and_releasing_need_permissions(staff: Staff, page: Client) -> None:
    page.get(LIST)
    editor = staff("view_featurecontrol", "change_featurecontrol")
    puller = staff("view_featurecontrol", "stop_feature")
    releaser = staff("view_featurecontrol", "release_feature")
    for visitor in (editor, releaser):
        assert STOP not in visitor.get(DETAIL).text
        assert visitor.get(STOP).status_code == 403
        assert pull(visitor).status_code == 403
    assert not row().killed
    assert STOP in puller.get(DETAIL).text
    pull(puller)
    assert row().killed
    for visitor in (editor, puller):
        assert RELEASE not in visitor.get(DETAIL).text
        assert let_go(visitor).status_code == 403
    assert row().killed
    assert RELEASE in releaser.get(DETAIL).text
    let_go(releaser)
    assert not row().killed


def test_the_switch_of_an_unknown_feature_is_not_found(page: Client, db: None) -> None:
    assert pull(page, f"{LIST}nothing/stop/").status_code == 404
    assert let_go(page, f"{LIST}nothing/release/").status_code in {200, 404}
    assert not FeatureControl.objects.filter(feature="nothing").exists()


def test_the_overview_can_stop_everything(page: Client, staff: Staff) -> None:
    assert STOP_ALL in page.get("/admin/").text
    assert STOP_ALL not in staff("view_featurecontrol").get("/admin/").text
    pull(page, STOP_ALL)
    assert row("_everything").killed
    for address in ("/admin/", GLOBAL):
        assert "Everything is stopped" in page.get(address).text
    let_go(page, f"{LIST}_5Feverything/release/", percent="5")
    assert "The kill switch of everything stops the others." in page.get("/admin/").text


@pytest.mark.parametrize(
    ("here", "next_page"),
    [
        (f"http://testserver{DETAIL}", DETAIL),
        ("http://testserver/admin/", "/admin/"),
        ("http://evil.example/phish/", LIST),
        ("http://evil.example//evil.example/admin/", LIST),
        ("http://[", LIST),
        ("", LIST),
    ],
)
def test_a_flip_leads_back_to_its_page(page: Client, here: str, next_page: str) -> None:
    form = {"_form_submitted": "on", "mode": "hold", "reason": "r"}
    answer = page.post(STOP, form, headers={"HX-Current-URL": here, "HX-Request": "true"})
    assert answer["HX-Redirect"] == next_page
    assert row().killed


def test_a_typed_reason_is_escaped(page: Client, db: None) -> None:
    evil = "<script>alert(1)</script>"
    pull(page, reason=evil)
    for address in (LIST, DETAIL, RELEASE, STOP, "/admin/"):
        assert evil not in page.get(address).text


def test_every_flip_is_seen_by_this_process_at_once(page: Client, db: None) -> None:
    assert not effective.cache.get("summarize").killed
    pull(page)
    assert effective.cache.get("summarize").killed
    let_go(page)
    assert not effective.cache.get("summarize").killed


def restate(page: Client, **values: str) -> Any:
    form = {"_form_submitted": "on", "mode": "cancel", "reason": "It is worse.", **values}
    return page.post(CHANGE_REASON, form)


def test_a_stopped_feature_has_no_button_to_stop_it(page: Client, db: None) -> None:
    def buttons() -> set[tuple[bool, ...]]:
        texts = [page.get(address).text for address in (DETAIL, LIST)]
        return {tuple(each in text for each in (STOP, CHANGE_REASON, RELEASE)) for text in texts}

    assert buttons() == {(True, False, False)}
    pull(page)
    assert buttons() == {(False, True, True)}
    let_go(page, percent="20")
    assert buttons() == {(True, False, True)}


def test_a_stop_from_a_page_of_before_leaves_the_reason_as_it_is(page: Client, db: None) -> None:
    pull(page, reason="The first.")
    asked = page.get(STOP).text
    assert "Already stopped by boss" in asked
    assert CHANGE_REASON in asked
    pull(page, reason="The second.", mode="cancel")
    assert (row().kill_reason, row().kill_mode) == ("The first.", "hold")
    assert not ControlChange.objects.filter(reason="The second.").exists()
    assert "was already stopped. Nothing was changed" in page.get(DETAIL).text


def test_the_reason_of_a_stop_is_changed_with_a_record(page: Client, boss: User) -> None:
    pull(page, reason="The first.")
    form = page.get(CHANGE_REASON).context["form"]
    assert form["mode"].value() == "hold", "as it stands"
    assert restate(page)["HX-Redirect"] == LIST
    assert (row().killed, row().kill_reason, row().kill_mode) == (True, "It is worse.", "cancel")
    changes = ControlChange.objects.filter(reason="It is worse.").order_by("field")
    assert [(each.field, each.old, each.new, each.user) for each in changes] == [
        ("kill_mode", "hold", "cancel", boss),
        ("kill_reason", "The first.", "It is worse.", boss),
    ]
    assert page.get(CHANGE_REASON).context["form"]["mode"].value() == "cancel"


def test_the_reason_of_what_runs_cannot_be_changed(page: Client, db: None) -> None:
    page.get(LIST)
    assert "can be changed only while it is stopped" in page.get(CHANGE_REASON).text
    restate(page)
    assert (row().killed, row().kill_reason) == (False, "")
    assert "Nothing was changed" in page.get(DETAIL).text
    pull(page)
    assert "reason" in restate(page, reason="  ").context["form"].errors
    assert row().kill_reason == "Bad answers."


def test_changing_the_reason_needs_a_permission(staff: Staff, page: Client) -> None:
    pull(page)
    for visitor in (
        staff("view_featurecontrol", "change_featurecontrol"),
        staff("view_featurecontrol", "release_feature"),
    ):
        assert CHANGE_REASON not in visitor.get(DETAIL).text + visitor.get(LIST).text
        assert restate(visitor).status_code == 403
    assert row().kill_reason == "Bad answers."
    puller = staff("view_featurecontrol", "stop_feature")
    assert CHANGE_REASON in puller.get(DETAIL).text
    restate(puller)
    assert row().kill_reason == "It is worse."


@pytest.mark.parametrize("address", [STOP, RELEASE, CHANGE_REASON])
def test_each_dialog_is_a_page_of_its_own_without_a_script(page: Client, address: str) -> None:
    alone, part = page.get(address).text, page.get(address, headers={"HX-Request": "true"}).text
    assert "<html" in alone
    assert "<html" not in part
    for text in (alone, part):
        assert 'id="dialog-title"' in text
        assert '<button type="button"' in text, "the keyboard reaches the button that closes it"
