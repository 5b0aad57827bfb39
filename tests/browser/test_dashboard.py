"""The dashboard: charts from tables, live figures, and no barriers in dark and on a phone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from aifeature.models import ControlChange, NumberSlot
from aifeature.services.alerting import alerts
from tests.browser.pages import assert_fits
from tests.browser.screenshots import DISPLAYS
from tests.number_rows import plant

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Axe, OpenPage

PAGE = "/dashboard/?feature=summarize"
CHART = "() => Chart.getChart(document.querySelector('#chart-errors canvas'))"


@pytest.fixture
def rows(sam: User) -> None:
    now = timezone.now()
    plant("summarize", now, days=2)
    ControlChange.objects.create(
        feature="summarize",
        field="stage",
        old="beta",
        new="everyone",
        reason="r",
        user=sam,
        at=now - timedelta(hours=5),
    )


@pytest.mark.parametrize("display", ["dark", "phone"])
def test_charts_are_drawn_and_new_figures_arrive_without_a_reload(
    open_page: OpenPage, sam: User, rows: None, no_barriers: Axe, display: str
) -> None:
    page = open_page(sam, **DISPLAYS[display])
    page.clock.install()
    page.goto(PAGE)
    page.wait_for_function(f"({CHART})()")
    drawn = page.evaluate(f"({CHART})().data.datasets[0].data")
    assert len(drawn) == 24
    assert drawn[0] == pytest.approx(2.5)
    assert len(page.evaluate(f"({CHART})().aifMarks")) >= 1
    no_barriers(page)
    assert_fits(page)

    table = page.locator("#chart-errors summary").last
    table.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chart-errors tbody tr").first).to_be_visible()
    alerts.begin("errors_high", "summarize", "3.1 % of requests fail.")
    page.clock.fast_forward(15_000)
    expect(page.get_by_role("alert").filter(has_text="3.1 % of requests fail.")).to_be_visible()
    expect(table).to_be_focused()
    expect(page.locator("#chart-errors tbody tr").first).to_be_visible()
    _goes_on(page)


def _goes_on(page: Page) -> None:
    """A failed request is named until one succeeds. Charts change, and the session ends."""
    problem = page.locator("#dash-problem")
    page.route("**/dashboard/live/**", lambda route: route.abort())
    page.clock.fast_forward(15_000)
    expect(problem).to_contain_text("New figures could not be fetched.")
    page.unroute("**/dashboard/live/**")
    page.clock.fast_forward(15_000)
    expect(problem).to_be_hidden()
    NumberSlot.objects.update(failed=20)
    for _ in range(4):  # one of them fetches the charts too
        with page.expect_response("**/dashboard/live/**"):
            page.clock.fast_forward(15_000)
    page.wait_for_function(f"({CHART})().data.datasets[0].data[0] === 50")
    page.context.clear_cookies()
    page.clock.fast_forward(15_000)
    expect(problem).to_contain_text("You are signed out.")
