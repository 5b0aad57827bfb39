"""The pages of evaluations in admin, and the report that they open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from evals.models import Run, Sample
from tests.browser import scenes
from tests.browser.pages import assert_fits
from tests.browser.screenshots import DISPLAYS

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage


def test_long_outcomes_of_regression_runs_are_whole_on_a_phone(
    open_page: OpenPage, sam: User
) -> None:
    scenes.weekly_runs()
    page = open_page(sam, **DISPLAYS["phone"])
    page.goto(f"{scenes.SERIES}?state=confirmed")
    cell = page.locator("td.field-outcome").first
    expect(cell).to_contain_text("It was rolled back to v2.")
    assert cell.evaluate("e => e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth")
    assert_fits(page)


@pytest.mark.parametrize("display", ["dark", "phone"])
def test_a_page_follows_its_run_to_its_report(
    open_page: OpenPage, sam: User, no_barriers: Axe, display: str
) -> None:
    runs = scenes.evaluations()
    page = open_page(sam, **DISPLAYS[display])
    page.goto(scenes.RUNS)
    no_barriers(page)
    assert_fits(page)
    page.goto(f"{scenes.RUNS}{runs['running'].pk}/change/")
    story = page.locator("#run")
    expect(story).to_contain_text("3 of 6 repeats scored, 1 unscored")
    no_barriers(page)
    assert_fits(page)
    waiting = Sample.objects.filter(run=runs["running"], state="pending")
    waiting.update(state="scored", passed=True, score=1)
    expect(story).to_contain_text("5 of 6 repeats scored, 1 unscored")
    Run.objects.filter(pk=runs["running"].pk).update(
        state="ended", verdict=runs["ended"].verdict, ended_at=runs["ended"].ended_at
    )
    expect(story).to_contain_text("Regression: triage v2 must not replace v1.")
    no_barriers(page)
    assert_fits(page)
    page.get_by_role("link", name="Full report").click()
    page.locator("html[data-ready]").wait_for()
    assert page.evaluate("origin") == "null"
    page.keyboard.press("j")
    expect(page.locator("tr.detail")).to_contain_text("onerror=alert")
    assert page.evaluate("location.hash") == "#case=hostile"
