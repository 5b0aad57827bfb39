"""A feature that is stopped while users use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from aifeature.models import Job, Status
from aifeature.services.dispatch import recovery
from tests.browser import scenes
from tests.browser.live import wait_until
from tests.browser.pages import send, wait_until_done
from tests.browser.screenshots import DISPLAYS
from tests.held import FIRST_S, Held

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage

HELD = "Paused by our team. Your request is kept and continues by itself."


def _is_done() -> bool:
    recovery.sweep()  # as the control worker does
    return Job.objects.get().status == Status.SUCCEEDED


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_paused_feature_is_shown_before_the_user_types(
    open_page: OpenPage, ada: User, sam: User, no_barriers: Axe, display: str
) -> None:
    scenes.pause(sam)
    page = open_page(ada, **DISPLAYS[display])
    page.goto("/")
    page.get_by_text("Paused by our team").wait_for()
    no_barriers(page)
    page.get_by_role("link", name="Summarise a document").click()
    notice = page.locator("[data-paused]")
    expect(notice).to_be_visible()
    place, field = notice.bounding_box(), page.get_by_label("Document").bounding_box()
    assert place is not None
    assert field is not None
    assert place["y"] < field["y"]
    no_barriers(page)
    scenes.go_on(sam)
    notice.get_by_role("link", name="Check again").click()
    expect(notice).to_have_count(0)


def test_an_open_page_shows_that_the_job_is_kept_and_continues(
    open_page: OpenPage, ada: User, sam: User, answers: Held
) -> None:
    page = open_page(ada)
    send(page)
    page.locator(".words").wait_for()
    scenes.pause(sam)
    page.get_by_text(HELD).first.wait_for()
    expect(page.locator("[data-pill]")).to_have_text("Paused")
    answers.let_go(FIRST_S)
    scenes.go_on(sam)
    wait_until(_is_done, "the job is done")
    wait_until_done(page)
    assert Job.objects.count() == 1
