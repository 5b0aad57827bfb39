"""On-call stops a feature and lets it go again, in a browser; no page of admin has a barrier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from aifeature.models import FeatureControl, Status
from tests.browser import scenes
from tests.browser.live import wait_until
from tests.browser.screenshots import DISPLAYS, press

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Axe, OpenPage
    from tests.browser.live import Site

ROOT = "/admin/aifeature"
FEATURE = f"{ROOT}/featurecontrol/summarize/change/"
PAGES = (
    *(
        "/admin/",
        FEATURE,
        f"{ROOT}/featurecontrol/",
        f"{ROOT}/featurecontrol/_5Feverything/change/",
    ),
    *(f"{ROOT}/modelcontrol/", f"{ROOT}/modelcontrol/claude-haiku-5-5/change/"),
    *(f"{ROOT}/rateoverride/", f"{ROOT}/launch/", f"{ROOT}/alert/", f"{ROOT}/checkrun/"),
)


@pytest.fixture
def sam(site: Site) -> User:
    return scenes.person("sam", is_staff=True, is_superuser=True)


def send(page: Page, text: str) -> None:
    page.locator("#dialog").get_by_role("button", name=text).click()


def row() -> FeatureControl:
    return FeatureControl.objects.get(feature="summarize")


@pytest.mark.parametrize("display", ["phone"])
def test_a_feature_is_stopped_and_released_for_some(
    open_page: OpenPage, ada: User, sam: User, no_barriers: Axe, display: str
) -> None:
    for status in (Status.RUNNING, Status.QUEUED, Status.QUEUED):
        scenes.job(ada, status)
    page = open_page(sam, **DISPLAYS[display])
    page.goto(FEATURE)
    no_barriers(page)

    press(page, "stop")
    dialog = page.locator("#dialog")
    assert "1 running, 2 queued, $0.00 held" in dialog.inner_text()
    no_barriers(page)
    send(page, "Stop")
    dialog.get_by_text("This field is required.").wait_for()
    assert not row().killed
    dialog.get_by_label("Reason").fill("Answers leak addresses.")
    send(page, "Stop")
    page.get_by_text("Stopped by its kill switch", exact=True).wait_for()
    page.wait_for_load_state()
    assert page.url.endswith(FEATURE)
    assert (row().killed, row().kill_mode) == (True, "hold")
    no_barriers(page)

    press(page, "release")
    said = page.locator("#dialog").inner_text()
    assert "sam" in said
    assert "Answers leak addresses." in said
    no_barriers(page)
    page.locator("#dialog").get_by_label("Share of users").fill("20")
    page.locator("#dialog").get_by_label("Reason").fill("Mended.")
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
    assert "every feature" in dialog.inner_text()
    dialog.get_by_label("Cancel: they end permanently").check()
    dialog.get_by_label("Reason").fill("The key was stolen.")
    send(page, "Stop")
    page.get_by_text("Everything is stopped", exact=True).wait_for()
    everything = FeatureControl.objects.get(feature="_everything")
    assert (everything.killed, everything.kill_mode) == (True, "cancel")
    wait_until(lambda: page.url.endswith("/admin/"), "the overview is shown again")


@pytest.mark.parametrize("display", ["phone"])
def test_a_refused_stop_says_why_and_keeps_what_was_typed(
    open_page: OpenPage, sam: User, no_barriers: Axe, display: str
) -> None:
    FeatureControl.objects.filter(feature="summarize").update(prompt_version="v9")
    page = open_page(sam, **DISPLAYS[display])
    page.goto(FEATURE)
    press(page, "stop")
    dialog = page.locator("#dialog")
    dialog.get_by_label("Reason").fill("Answers leak addresses.")
    dialog.get_by_label("Cancel: they end permanently").check()
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT 1 FROM aifeature_featurecontrol FOR UPDATE")
        send(page, "Stop")
        dialog.get_by_text("The kill switch was not changed").first.wait_for()
        assert f"pid {other.info.backend_pid}" in dialog.inner_text()
        no_barriers(page)
    assert not row().killed
    send(page, "Stop")
    page.get_by_text("Stopped by its kill switch", exact=True).wait_for()
    stopped = row()
    assert (stopped.kill_mode, stopped.kill_reason) == ("cancel", "Answers leak addresses.")


@pytest.mark.parametrize("display", ["phone"])
def test_a_stop_after_an_expired_session_leads_back_to_the_same_form(
    open_page: OpenPage, sam: User, no_barriers: Axe, display: str
) -> None:
    page = open_page(sam, **DISPLAYS[display])
    page.goto(FEATURE)
    press(page, "stop")
    page.locator("#dialog").get_by_label("Reason").fill("Answers leak addresses.")
    page.context.clear_cookies()
    send(page, "Stop")
    page.get_by_label("Username").fill("sam")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("Nothing was sent yet.").wait_for()
    assert page.locator("#dialog").get_by_label("Reason").input_value() == "Answers leak addresses."
    no_barriers(page)
    send(page, "Stop")
    page.get_by_text("Stopped by its kill switch", exact=True).wait_for()
    wait_until(lambda: page.url.endswith(FEATURE), "the feature's page is shown")
    assert row().kill_reason == "Answers leak addresses."


@pytest.mark.parametrize("display", DISPLAYS)
def test_no_page_of_operations_has_a_barrier(
    open_page: OpenPage, sam: User, no_barriers: Axe, display: str
) -> None:
    scenes.bad_day(sam)
    page = open_page(sam, **DISPLAYS[display])
    for path in PAGES:
        page.goto(path)
        page.wait_for_load_state("networkidle")
        no_barriers(page)
