"""On-call stops and releases a feature in a browser. No page of admin has a barrier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Page, expect

from aifeature.models import FeatureControl, Status
from tests import proof
from tests.browser import scenes
from tests.browser.pages import ADMIN, press, sign_in
from tests.browser.screenshots import DISPLAYS

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage

FEATURE = f"{ADMIN}/featurecontrol/summarize/change/"
LISTS = "featurecontrol modelcontrol rateoverride launch alert checkrun"
PAGES = (
    "/admin/",
    FEATURE,
    scenes.PROMPTS,
    f"{ADMIN}/featurecontrol/_5Feverything/change/",
    f"{ADMIN}/modelcontrol/claude-haiku-5-5/change/",
    *(f"{ADMIN}/{name}/" for name in LISTS.split()),
)


def send(page: Page, text: str) -> None:
    page.locator("#dialog").get_by_role("button", name=text).click()


def row(slug: str = "summarize") -> FeatureControl:
    return FeatureControl.objects.get(feature=slug)


def test_a_feature_is_stopped_and_released_for_some(
    open_page: OpenPage, ada: User, sam: User, no_barriers: Axe
) -> None:
    for status in (Status.RUNNING, Status.QUEUED, Status.QUEUED):
        scenes.job(ada, status)
    page = open_page(sam, **DISPLAYS["phone"])
    page.goto(FEATURE)
    no_barriers(page)

    press(page, "stop")
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("1 running, 2 queued, $0.00 held")
    no_barriers(page)
    send(page, "Stop")
    dialog.get_by_text("This field is required.").wait_for()
    assert not row().killed
    dialog.get_by_label("Reason").fill("Answers leak addresses.")
    send(page, "Stop")
    page.get_by_text("Stopped by its kill switch", exact=True).wait_for()
    page.wait_for_url(f"**{FEATURE}")
    assert (row().killed, row().kill_mode) == (True, "hold")
    no_barriers(page)

    press(page, "release")
    expect(dialog).to_contain_text("sam")
    expect(dialog).to_contain_text("Answers leak addresses.")
    no_barriers(page)
    dialog.get_by_label("Share of users").fill("20")
    dialog.get_by_label("Reason").fill("Fixed.")
    send(page, "Release")
    page.get_by_text("Released for 20 % of users.").first.wait_for()
    page.wait_for_load_state()
    assert (row().killed, row().release_percent) == (False, 20)
    no_barriers(page)


def test_cancel_is_chosen_in_the_dialog(open_page: OpenPage, sam: User) -> None:
    page = open_page(sam)
    page.goto("/admin/")
    press(page, "stop")
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("every feature")
    dialog.get_by_label("Cancel: they end permanently").check()
    dialog.get_by_label("Reason").fill("The key was stolen.")
    send(page, "Stop")
    page.get_by_text("Everything is stopped", exact=True).wait_for()
    everything = row("_everything")
    assert (everything.killed, everything.kill_mode) == (True, "cancel")
    page.wait_for_url("**/admin/")


def test_a_refused_stop_shows_why_and_keeps_the_input(
    open_page: OpenPage, sam: User, no_barriers: Axe
) -> None:
    proof.activated_elsewhere("summarize", "v9")
    page = open_page(sam, **DISPLAYS["phone"])
    page.goto(FEATURE)
    press(page, "stop")
    dialog = page.locator("#dialog")
    dialog.get_by_label("Reason").fill("Answers leak addresses.")
    dialog.get_by_label("Cancel: they end permanently").check()
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT 1 FROM aifeature_featurecontrol FOR UPDATE")
        send(page, "Stop")
        dialog.get_by_text("The kill switch was not changed").first.wait_for()
        expect(dialog).to_contain_text(f"pid {other.info.backend_pid}")
        no_barriers(page)
    assert not row().killed
    send(page, "Stop")
    page.get_by_text("Stopped by its kill switch", exact=True).wait_for()
    stopped = row()
    assert (stopped.kill_mode, stopped.kill_reason) == ("cancel", "Answers leak addresses.")


def test_a_stop_after_an_expired_session_leads_back_to_the_same_form(
    open_page: OpenPage, sam: User, no_barriers: Axe
) -> None:
    page = open_page(sam, **DISPLAYS["phone"])
    page.goto(FEATURE)
    press(page, "stop")
    page.locator("#dialog").get_by_label("Reason").fill("Answers leak addresses.")
    page.context.clear_cookies()
    send(page, "Stop")
    sign_in(page, "sam", button="Log in")
    page.get_by_text("Nothing was sent yet.").wait_for()
    expect(page.locator("#dialog").get_by_label("Reason")).to_have_value("Answers leak addresses.")
    no_barriers(page)
    send(page, "Stop")
    page.get_by_text("Stopped by its kill switch", exact=True).wait_for()
    page.wait_for_url(f"**{FEATURE}")
    assert row().kill_reason == "Answers leak addresses."


@pytest.mark.parametrize("display", DISPLAYS)
def test_no_page_of_operations_has_a_barrier(
    open_page: OpenPage, sam: User, no_barriers: Axe, display: str
) -> None:
    scenes.bad_day(sam)
    scenes.prompts_of_summarize(sam, scenes.evaluations()["ended"])
    page = open_page(sam, **DISPLAYS[display])
    for path in PAGES:
        page.goto(path)
        page.wait_for_load_state("networkidle")
        no_barriers(page)
