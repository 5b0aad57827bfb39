"""A feature that is stopped while people use it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from aifeature.models import Job, KillMode, Status
from aifeature.services.controls import switch
from aifeature.services.dispatch import recovery
from tests.browser import scenes
from tests.browser.live import wait_until
from tests.browser.screenshots import DISPLAYS
from tests.browser.test_job import see_done, send

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage
    from tests.browser.live import Site

HELD = "Paused by our team. Your request is kept and continues by itself."


@pytest.fixture
def sam(site: Site) -> User:
    return scenes.person("sam", is_staff=True, is_superuser=True)


def _is_done() -> bool:
    recovery.sweep()  # as the control worker does
    return Job.objects.get().status == Status.SUCCEEDED


def stop(sam: User) -> None:
    switch.stop("summarize", reason="Answers leak.", mode=KillMode.HOLD, user_id=sam.pk)


@pytest.mark.parametrize("display", DISPLAYS)
def test_it_says_so_before_anything_is_typed(
    open_page: OpenPage, ada: User, sam: User, no_barriers: Axe, display: str
) -> None:
    stop(sam)
    page = open_page(ada, **DISPLAYS[display])
    page.goto("/")
    page.get_by_text("Paused by our team").wait_for()
    no_barriers(page)
    page.get_by_role("link", name="Summarise a document").click()
    notice = page.locator("[data-paused]")
    assert notice.is_visible()
    place, field = notice.bounding_box(), page.get_by_label("Document").bounding_box()
    assert place is not None
    assert field is not None
    assert place["y"] < field["y"]
    no_barriers(page)
    switch.release("summarize", reason="Mended.", user_id=sam.pk)
    notice.get_by_role("link", name="Check again").click()
    page.wait_for_load_state()
    assert notice.count() == 0


def test_an_open_page_says_that_the_job_is_kept_and_goes_on_by_itself(
    open_page: OpenPage, ada: User, sam: User, go_on: threading.Event
) -> None:
    page = open_page(ada)
    send(page)
    page.locator(".words").wait_for()
    stop(sam)
    page.get_by_text(HELD).first.wait_for()
    assert page.locator("[data-pill]").inner_text() == "Paused"
    go_on.set()
    switch.release("summarize", reason="Mended.", user_id=sam.pk)
    wait_until(_is_done, "the job is done")
    see_done(page)
    assert Job.objects.count() == 1
