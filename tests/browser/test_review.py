"""The page of a job that waits for a person."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models.functions import Now
from playwright.sync_api import Page, Request, expect

from aifeature.models import Job, Status
from aifeature.services.dispatch import recovery
from tests.browser import scenes

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage

MINUTE_MS = 60_000


def fetches(page: Page) -> list[Request]:
    """Return a list to which each load of the page's changing part is added."""
    seen: list[Request] = []

    def note(request: Request) -> None:
        if "?part" in request.url:
            seen.append(request)

    page.on("request", note)
    return seen


def test_it_is_loaded_once_a_minute_and_shows_the_end(open_page: OpenPage, ada: User) -> None:
    job = scenes.ticket(ada, Status.NEEDS_APPROVAL)
    page = open_page(ada)
    page.clock.install()
    seen = fetches(page)
    page.goto(f"/jobs/{job.id}/")
    page.get_by_text("A person decides before you see the answer").wait_for()
    expect(page.locator(".review time"), "the time of this browser").not_to_contain_text("UTC")
    page.clock.run_for(MINUTE_MS - 1_000)
    assert seen == []
    with page.expect_response("**?part"):
        page.clock.run_for(1_000)
    expect(page.locator(".review time")).not_to_contain_text("UTC")

    Job.objects.filter(pk=job.pk).update(approval_expires_at=Now() - timedelta(seconds=1))
    recovery.sweep()
    page.clock.run_for(MINUTE_MS)
    page.locator("[data-state=failed]").wait_for()
    expect(page.locator("[data-sentence]")).to_contain_text("nobody did in time")
    count = len(seen)
    page.clock.run_for(10 * MINUTE_MS)
    assert len(seen) == count, "an ended job is not loaded again"


def test_its_user_cancels_it(open_page: OpenPage, ada: User) -> None:
    job = scenes.ticket(ada, Status.NEEDS_APPROVAL)
    page = open_page(ada)
    page.goto(f"/jobs/{job.id}/")
    page.get_by_role("button", name="Cancel").click()
    page.locator("[data-state=cancelled]").wait_for()
    assert str(scenes.LABELS["reason"]) not in page.content()
