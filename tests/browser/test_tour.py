"""The tour of the local stack, walked once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from tests.browser.pages import assert_fits, press, press_send
from tests.browser.screenshots import DISPLAYS
from tests.integration.conftest import empty_gates

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage

TOUR = "/tour/"


@pytest.fixture
def _closed_breakers() -> Iterator[None]:
    yield
    empty_gates()


def go(page: Page, step: str) -> None:
    """Follow the link of a step."""
    page.goto(TOUR)
    with page.expect_navigation():
        page.locator(f"#go-{step}").click()


def answer_dialog(page: Page, button: str) -> None:
    page.get_by_label("Reason").last.fill("Tour.")
    page.get_by_role("button", name=button, exact=True).last.click()


@pytest.mark.usefixtures("_closed_breakers")
def test_the_tour_ticks_itself(open_page: OpenPage, sam: User, ada: User, no_barriers: Axe) -> None:
    page = open_page(sam)
    page.goto("/")
    page.get_by_role("link", name="Take the tour").click()
    expect(page.get_by_text("0 of 8 done")).to_be_visible()
    tour = page.context.new_page()
    tour.goto(TOUR)
    tour.locator("#go-audit").focus()

    go(page, "submit")
    press_send(page)
    page.wait_for_url("**/jobs/*/")
    expect(tour.get_by_text("1 of 8 done")).to_be_visible()
    expect(tour.locator("#tour-status")).to_have_text("1 of 8 steps are done.")
    expect(tour.locator("#go-audit")).to_be_focused()

    go(page, "break")
    page.get_by_role("button", name="Break the provider").click()
    page.get_by_text("open", exact=True).first.wait_for()
    go(page, "fallback")
    press_send(page)
    page.get_by_text("Simple answer").first.wait_for()
    go(page, "rate")
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("Thanks for telling us").wait_for()
    page.goto(TOUR)
    no_barriers(page)
    page.get_by_role("button", name="Put everything right").click()

    go(page, "stop")
    press(page, "stop")
    answer_dialog(page, "Stop")
    page.get_by_text("Stopped by its kill switch", exact=True).wait_for()
    go(page, "release")
    press(page, "release")
    answer_dialog(page, "Release")
    page.get_by_text("is released for all users").first.wait_for()
    go(page, "refused")
    answer_dialog(page, "Activate")
    page.get_by_text("Evaluate it: python -m evals run").first.wait_for()
    go(page, "audit")
    expect(page.get_by_text("prompt_refused").first).to_be_visible()
    expect(tour.get_by_text("8 of 8 done")).to_be_visible()

    phone = open_page(ada, **DISPLAYS["phone"])
    for address in (TOUR, "/usage/"):
        phone.goto(address)
        assert_fits(phone)
    no_barriers(phone)
