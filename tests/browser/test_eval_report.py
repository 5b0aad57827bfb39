"""The report of an evaluation: a file that a browser opens without a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connections
from playwright.sync_api import expect

from evals import report
from evals.models import Sample
from tests.unit.evals.test_report import HOSTILE, a_run, case, repeats

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.conftest import Axe

RESULTS = {
    "first": {"candidate": "pf", "baseline": "pp"},
    "second": {"candidate": "pp", "baseline": "pf"},
    "third": {"candidate": "ff", "baseline": "ff"},
    "hidden": {"candidate": "pf", "baseline": "pp"},
    "fourth": {"candidate": "pp", "baseline": "pp"},
}


@pytest.fixture
def file(transactional_db: None, tmp_path: Path) -> Iterator[Path]:
    """The report of a run that is stored."""
    run = a_run(
        *(case(name, held_out=name == "hidden", tags=["even"]) for name in RESULTS),
        case("hostile", input={"ticket": HOSTILE}, tags=["odd"]),
    )
    run.save()
    samples = [
        sample
        for name, arms in (RESULTS | {"hostile": {"candidate": "p", "baseline": "p"}}).items()
        for sample in repeats(run, name, **arms)
    ]
    for sample in samples:
        sample.output = {"answer": f"The {sample.arm} answers with these words."}
        if sample.case == "hostile":
            sample.output = {HOSTILE: HOSTILE}
    Sample.objects.bulk_create(samples)
    yield report.write(run, to=tmp_path / "new" / "report.html")
    connections.close_all()  # those that were opened beside Playwright's event loop


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    """The opened report. Errors, dialogs and requests fail the test."""
    context = browser.new_context()
    page = context.new_page()
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("dialog", lambda dialog: found.append(dialog.message))
    page.on("request", lambda request: found.append(request.url))
    page.goto(file.as_uri())
    page.locator("html[data-ready]").wait_for()
    yield page
    context.close()
    assert [line for line in found if not line.startswith((file.as_uri(), "data:"))] == []


def visible(page: Page) -> list[str]:
    rows = page.locator("tr.case:visible").all()
    return [row.get_attribute("data-case") or "" for row in rows]


def address(page: Page) -> str:
    return str(page.evaluate("location.hash"))


def test_keys_open_one_case_after_the_other(page: Page) -> None:
    assert visible(page) == ["first", "hidden", "second"], "changed ones, the largest drop first"
    opened = page.locator("tr.is-open")
    for key, name in [("j", "first"), ("j", "hidden"), ("j", "second"), ("k", "hidden")]:
        page.keyboard.press(key)
        expect(opened).to_have_attribute("data-case", name)
    expect(page.locator("tr.detail")).to_contain_text("held out")
    page.keyboard.press("f")
    expect(opened, "the next failure, from the top again").to_have_attribute("data-case", "first")
    expect(page.locator(".sample.failed")).to_have_count(1)
    expect(page.locator("ins").first).to_have_text("candidate")
    page.keyboard.press("d")
    expect(page.locator("ins, del")).to_have_count(0)
    assert address(page) == "#diff=0&case=first"
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(opened).to_have_count(0)


def test_the_address_holds_filters_and_the_open_case(page: Page) -> None:
    page.get_by_text(re.compile(r"^All 6$")).click()
    page.get_by_role("combobox", name="Tag").select_option("even")
    page.get_by_role("searchbox").fill("HIRD")
    assert visible(page) == ["third"]
    page.get_by_role("button", name="third").click()
    assert address(page) == "#show=all&tag=even&q=HIRD&case=third"
    page.reload()
    page.locator("html[data-ready]").wait_for()
    assert visible(page) == ["third"]
    expect(page.locator("tr.is-open")).to_have_count(1)
    expect(page.locator("#shown")).to_have_text("1 of 6 cases")
    page.keyboard.press("j")
    assert visible(page) == ["third"], "a key in no field moves between shown cases only"


def test_a_filter_without_cases_offers_all(page: Page) -> None:
    page.get_by_role("searchbox").fill("zebra")
    assert visible(page) == []
    page.get_by_role("button", name="Show all cases").click()
    assert len(visible(page)) == 6


def test_hostile_texts_are_shown_as_they_are(page: Page) -> None:
    page.evaluate("location.hash = '#show=all&case=hostile'")
    detail = page.locator("tr.detail")
    values = detail.locator(".value").get_by_text(HOSTILE, exact=True)
    expect(values, "in the input and in both outputs").to_have_count(3)
    expect(detail.locator("img, script")).to_have_count(0)


def test_the_page_has_no_barriers(page: Page, no_barriers: Axe) -> None:
    no_barriers(page)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    page.keyboard.press("j")
    no_barriers(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
