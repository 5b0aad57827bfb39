"""Actions on pages of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aifeature.models import Job
from tests.browser import scenes
from tests.browser.scenes import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Page

FORM = "/f/summarize/"
ADMIN = "/admin/aifeature"


def sign_in(page: Page, name: str, *, password: str = PASSWORD, button: str = "Sign in") -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():
        page.get_by_role("button", name=button).click()


def press_send(page: Page) -> None:
    page.get_by_role("button", name="Send", exact=True).click()


def send(page: Page, text: str = scenes.THREAD) -> Job:
    """Submit a document and return its job."""
    page.goto(FORM)
    page.get_by_label("Document").fill(text)
    press_send(page)
    page.wait_for_url("**/jobs/*/")
    return Job.objects.get(id=page.url.rstrip("/").rsplit("/", 1)[-1])


def wait_until_done(page: Page) -> None:
    page.locator("[data-state=succeeded]").wait_for()


def press(page: Page, action: str) -> None:
    """Press a button of admin and wait for its dialog."""
    page.locator(f'a[hx-get$="/{action}/"]').first.click()
    page.locator("#dialog").wait_for()


def assert_fits(page: Page) -> None:
    """Assert that the page does not scroll sideways."""
    excess = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert excess <= 0, f"{page.url} scrolls sideways by {excess} px"
