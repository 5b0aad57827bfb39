"""Admin by keyboard, after a failed save, and without JavaScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from aifeature.models import FeatureControl, ModelControl, Status
from tests.browser import scenes
from tests.browser.pages import ADMIN, assert_fits, press, sign_in
from tests.browser.screenshots import DISPLAYS
from tests.browser.test_kill_switch import FEATURE, row

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage

LIST = f"{ADMIN}/featurecontrol/"
MODEL = f"{ADMIN}/modelcontrol/claude-haiku-5-5/change/"


@pytest.fixture
def plain(open_page: OpenPage, sam: User) -> Page:
    """A browser without JavaScript."""
    return open_page(sam, java_script_enabled=False)


def follow(page: Page, link: str, *, exact: bool = False) -> None:
    """Follow a link and wait for the next page."""
    with page.expect_navigation():
        page.get_by_role("link", name=link, exact=exact).click()


def submit(page: Page, button: str, *, exact: bool = False) -> None:
    """Submit a form and wait for the next page, and so for what the request changed."""
    with page.expect_navigation():
        page.get_by_role("button", name=button, exact=exact).click()


def focused(page: Page, within: str) -> bool:
    found: bool = page.evaluate(
        "within => document.querySelector(within).contains(document.activeElement)", within
    )
    return found


@pytest.mark.parametrize(
    ("address", "what"), [(FEATURE, "stop"), (LIST, "change_reason"), (LIST, "release")]
)
def test_a_dialog_takes_the_keyboard_keeps_it_and_gives_it_back(
    open_page: OpenPage, sam: User, address: str, what: str
) -> None:
    if what != "stop":
        FeatureControl.objects.filter(feature="summarize").update(killed=True, kill_reason="r")
    page = open_page(sam)
    page.goto(address)
    opener = page.locator(f'a[hx-get$="/summarize/{what}/"]')
    opener.focus()
    page.keyboard.press("Enter")
    title = {"stop": "Pull", "change_reason": "Change the reason", "release": "Release"}[what]
    dialog = page.get_by_role("dialog", name=title)
    dialog.wait_for()
    page.wait_for_function("document.activeElement.form")  # a field of the form
    expect(dialog).to_have_attribute("aria-modal", "true")
    for key in [*["Tab"] * 12, *["Shift+Tab"] * 12]:
        page.keyboard.press(key)
        assert focused(page, "#modal-content"), key
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.wait_for_function("!document.getElementById('page').inert")
    expect(opener).to_be_focused()


def test_a_dialog_is_closed_and_filled_by_keyboard(open_page: OpenPage, sam: User) -> None:
    page = open_page(sam)
    page.goto(FEATURE)
    press(page, "stop")
    page.get_by_role("button", name="Close").press("Enter")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert not row().killed
    press(page, "stop")
    page.locator("#dialog").get_by_role("button", name="Stop").click()
    page.wait_for_function("document.activeElement.name === 'reason'")
    page.keyboard.type("Answers leak addresses.")
    page.keyboard.press("Enter")
    page.get_by_text("Stopped by its kill switch", exact=True).wait_for()
    assert row().kill_reason == "Answers leak addresses."


@pytest.mark.parametrize(
    ("display", "javascript"), [("light", True), ("phone", True), ("phone", False)]
)
def test_a_failed_save_shows_its_errors_in_view_and_with_the_focus(
    open_page: OpenPage, sam: User, no_barriers: Axe, display: str, *, javascript: bool
) -> None:
    page = open_page(sam, java_script_enabled=javascript, **DISPLAYS[display])
    page.goto(FEATURE)
    page.get_by_label("Daily budget (USD)").fill("-5")
    page.get_by_role("button", name="Save", exact=True).click()
    errors = page.locator("#not-saved")
    errors.wait_for()
    expect(errors).to_be_focused()
    expect(errors).to_be_in_viewport(ratio=1)
    for text in ("Nothing was saved", "Daily budget (USD)", "Reason"):
        expect(errors).to_contain_text(text)
    errors.get_by_role("link", name="Reason").click()
    expect(page.locator("#id_reason")).to_be_focused()
    if javascript:
        no_barriers(page)


def test_the_switch_works_without_javascript(plain: Page, sam: User) -> None:
    plain.context.clear_cookies()
    plain.goto("/admin/")
    sign_in(plain, "sam", button="Log in")
    follow(plain, "Stop everything")
    expect(plain.locator("#dialog")).to_contain_text("every feature")
    submit(plain, "Stop")
    expect(plain.get_by_text("This field is required.")).to_be_visible()
    assert not FeatureControl.objects.filter(killed=True).exists()
    plain.get_by_label("Reason").fill("The key was stolen.")
    submit(plain, "Stop")
    expect(plain.get_by_text("Everything is stopped; its jobs are held.")).to_be_visible()
    assert row("_everything").killed
    follow(plain, "Change reason")
    plain.get_by_label("Cancel: they end permanently").check()
    plain.get_by_label("Reason").fill("It was used.")
    submit(plain, "Change reason")
    everything = row("_everything")
    assert (everything.kill_reason, everything.kill_mode) == ("It was used.", "cancel")
    follow(plain, "Release")
    follow(plain, "Cancel", exact=True)
    follow(plain, "Release")
    plain.get_by_label("Reason").fill("A new key.")
    submit(plain, "Release")
    assert not row("_everything").killed


def test_a_form_a_list_and_other_buttons_work_without_javascript(plain: Page, sam: User) -> None:
    failed = scenes.job(sam, Status.FAILED)
    scenes.job(sam, Status.SUCCEEDED)
    plain.goto(FEATURE)
    plain.get_by_label("Daily budget (USD)").fill("12")
    plain.get_by_label("Reason").fill("Less.")
    submit(plain, "Save", exact=True)
    expect(plain.get_by_text("Blast radius")).to_be_visible()
    assert row().daily_budget_usd is None, "nothing is stored before the confirmation"
    submit(plain, "Save", exact=True)
    expect(plain.get_by_text("was changed successfully")).to_be_visible()
    assert row().daily_budget_usd == 12
    plain.goto(f"{ADMIN}/job/")
    plain.locator("#changelist-filter").get_by_role("link", name="Failed").click()
    plain.wait_for_url("**status__exact=failed**")
    expect(plain.locator(".data-row")).to_have_count(1)
    plain.locator(".data-row").get_by_role("link").first.click()
    plain.wait_for_url(f"**{failed.pk}**")
    plain.goto(MODEL)
    follow(plain, "Force open")
    plain.get_by_label("Reason").fill("Their status page.")
    submit(plain, "Force open")
    expect(plain.get_by_text("forced open: no calls are sent", exact=True)).to_be_visible()
    assert ModelControl.objects.get(model="claude-haiku-5-5").forced == "open"
    submit(plain, "Log out")
    plain.goto("/admin/")
    expect(plain.get_by_label("Username")).to_be_visible()


@pytest.mark.parametrize("display", DISPLAYS)
def test_no_page_hides_or_covers_anything_without_javascript(
    open_page: OpenPage, sam: User, display: str
) -> None:
    """The element at the middle of a visible text is that text or a part of it."""
    scenes.bad_day(sam)
    page = open_page(sam, java_script_enabled=False, **DISPLAYS[display])
    for path in ("/admin/", FEATURE, LIST, MODEL, f"{ADMIN}/job/"):
        page.goto(path)
        expect(page.locator("#content"), path).to_be_visible()
        covered = page.evaluate(_COVERED)
        assert covered == [], path
        menu = page.locator(f'#nav-sidebar a[href="{ADMIN}/job/"]')
        menu.scroll_into_view_if_needed()
        expect(menu, path).to_be_visible()
        assert_fits(page)


_COVERED = """() => [...document.querySelectorAll("#content :is(a, h1, h2, input)")]
  .filter((element) => {
    const box = element.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    if (!box.width || !box.height) return false;
    if (x < 0 || y < 0 || x > innerWidth || y > innerHeight) return false;
    const top = document.elementFromPoint(x, y);
    return top && !element.contains(top) && !top.contains(element);
  })
  .map((element) => element.outerHTML.slice(0, 150))"""
