"""Typed text outlives the session, in its tab. No other user sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, Route, expect

from aifeature.models import Job
from tests.browser import scenes
from tests.browser.live import wait_until
from tests.browser.pages import FORM, assert_fits, press_send, sign_in
from tests.browser.screenshots import DISPLAYS

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage
    from tests.browser.live import Site

TEXT = "Zebras: Grüße, <b>bold</b> & “quotes”.\nSecond line, 👩‍🚀.\n"


def stored(page: Page) -> str:
    """Return everything that the tab stores."""
    kept = "JSON.stringify([Object.entries(sessionStorage), Object.entries(localStorage)])"
    return page.evaluate(kept)  # type: ignore[no-any-return]


def expect_typed(page: Page, text: str) -> None:
    expect(page.get_by_label("Document")).to_have_value(text)


def type_text(page: Page, text: str = TEXT) -> None:
    page.goto(FORM)
    page.get_by_label("Document").fill(text)
    wait_until(lambda: "Zebras" in stored(page), "the draft is kept")


def _end_in_the_database(page: Page) -> None:
    Session.objects.all().delete()


def _lose_the_cookies(page: Page) -> None:
    page.context.clear_cookies()


ENDS = [_end_in_the_database, _lose_the_cookies]


@pytest.mark.parametrize(
    ("end", "display"),
    [
        (_end_in_the_database, "light"),
        (_lose_the_cookies, "dark"),
        (_lose_the_cookies, "phone"),
    ],
)
def test_the_text_is_restored_after_the_sign_in(
    site: Site,
    open_page: OpenPage,
    ada: User,
    no_barriers: Axe,
    end: Callable[[Page], None],
    display: str,
) -> None:
    page = open_page(ada, **DISPLAYS[display])
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    type_text(page)
    page.reload()
    page.get_by_text("Here is what you typed before.").wait_for()
    no_barriers(page)
    end(page)
    press_send(page)
    page.get_by_text("Your session has ended, so nothing was sent.").wait_for()
    page.get_by_text("What you typed is saved in this tab.").wait_for()
    no_barriers(page)
    assert_fits(page)
    sign_in(page, "ada")
    page.get_by_text("It was not sent.", exact=True).wait_for()
    expect(page.get_by_text("It may have been sent.")).to_be_hidden()
    expect_typed(page, TEXT)
    no_barriers(page)
    assert not Job.objects.exists()

    press_send(page)
    page.wait_for_url("**/jobs/*/")
    assert Job.objects.get().input == {"document": TEXT.strip()}
    wait_until(lambda: "Zebras" not in stored(page), "the draft of a sent job is deleted")
    page.goto(FORM)
    expect_typed(page, "")
    assert not any("ebras" in address for address in addresses)


@pytest.mark.parametrize("end", ENDS)
def test_the_next_user_of_the_browser_does_not_see_it(
    site: Site, open_page: OpenPage, ada: User, end: Callable[[Page], None]
) -> None:
    scenes.person("bob")
    page = open_page(ada)
    type_text(page)
    end(page)
    press_send(page)
    page.get_by_text("What you typed is saved in this tab.").wait_for()
    assert "Zebras" not in page.content()
    sign_in(page, "bob")
    page.wait_for_url(f"**{FORM}")
    expect_typed(page, "")
    assert "Zebras" not in page.content()
    assert "Zebras" not in stored(page)


def test_it_can_be_deleted_without_signing_in(site: Site, open_page: OpenPage, ada: User) -> None:
    page = open_page(ada)
    type_text(page)
    _lose_the_cookies(page)
    press_send(page)
    page.get_by_role("button", name="Delete it").click()
    wait_until(lambda: "Zebras" not in stored(page), "it is deleted")
    expect(page.get_by_text("What you typed is saved")).to_be_hidden()
    sign_in(page, "ada")
    page.wait_for_url(f"**{FORM}")
    expect_typed(page, "")


@pytest.mark.parametrize("admin", [False, True])
def test_signing_out_deletes_it_in_every_tab(
    site: Site, open_page: OpenPage, ada: User, *, admin: bool
) -> None:
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    page = open_page(ada)
    type_text(page)
    other = page.context.new_page()
    type_text(other)
    if admin:
        page.goto("/admin/")
        page.evaluate("document.querySelector('#logout-form').submit()")
        page.get_by_text("You are signed out.").wait_for()
    else:
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Username").wait_for()
    for tab in (page, other):
        wait_until(lambda tab=tab: "Zebras" not in stored(tab), "it is deleted")  # type: ignore[misc]
    expect(page.get_by_text("What you typed is saved")).to_be_hidden()


@pytest.mark.parametrize(("changed", "jobs"), [("", 1), ("More.", 2)])
def test_a_text_sent_again_after_a_lost_answer_makes_no_second_job(
    site: Site, open_page: OpenPage, ada: User, changed: str, jobs: int
) -> None:
    page = open_page(ada)
    type_text(page)

    def lose_the_answer(route: Route) -> None:
        route.fetch(max_redirects=0)
        route.abort()

    page.route(f"**{FORM}", lose_the_answer)
    press_send(page)
    wait_until(lambda: Job.objects.count() == 1, "the job is there")
    page.unroute(f"**{FORM}")
    page.goto(FORM)
    page.get_by_text("It may have been sent.").wait_for()
    expect_typed(page, TEXT)
    if changed:
        page.get_by_label("Document").fill(TEXT + changed)
    press_send(page)
    page.wait_for_url("**/jobs/*/")
    assert Job.objects.count() == jobs
    wait_until(lambda: "Zebras" not in stored(page), "the draft of a sent job is deleted")


def test_a_reload_keeps_it_until_it_is_cleared(site: Site, open_page: OpenPage, ada: User) -> None:
    page = open_page(ada)
    type_text(page)
    page.reload()
    page.get_by_text("Here is what you typed before.").wait_for()
    expect_typed(page, TEXT)
    page.get_by_role("button", name="Clear it").click()
    expect_typed(page, "")
    wait_until(lambda: "Zebras" not in stored(page), "it is deleted")
    page.reload()
    expect_typed(page, "")
    expect(page.get_by_text("Here is what you typed before.")).to_be_hidden()


def test_it_is_deleted_after_an_hour(site: Site, open_page: OpenPage, ada: User) -> None:
    page = open_page(ada)
    page.clock.install()
    type_text(page)
    page.clock.fast_forward("59:00")
    page.reload()
    expect_typed(page, TEXT)
    page.clock.fast_forward("01:00:10")
    page.goto("/jobs/")
    wait_until(lambda: "Zebras" not in stored(page), "it is deleted")


def test_a_browser_without_storage_can_send(site: Site, open_page: OpenPage, ada: User) -> None:
    page = open_page(ada)
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('off'); } })"
    )
    page.goto(FORM)
    page.get_by_label("Document").fill(TEXT)
    press_send(page)
    page.wait_for_url("**/jobs/*/")
    assert Job.objects.count() == 1


@pytest.mark.parametrize(("name", "seen"), [("ada", TEXT), ("bob", "")])
def test_without_javascript_the_sign_in_page_keeps_it(
    site: Site, open_page: OpenPage, ada: User, name: str, seen: str
) -> None:
    scenes.person("bob")
    page = open_page(ada, java_script_enabled=False)
    page.goto(FORM)
    page.get_by_label("Document").fill(TEXT)
    _end_in_the_database(page)
    press_send(page)
    page.get_by_text("Your session has ended, so nothing was sent.").wait_for()
    sign_in(page, name)
    if seen:
        page.get_by_role("button", name="Show it again").click()
    expect_typed(page, seen)
    assert ("Zebras" in page.content()) == bool(seen)
