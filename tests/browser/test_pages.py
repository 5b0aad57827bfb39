"""Every page in every state: no barrier, no breach of the content policy, no jobs of others."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from aifeature import registry
from aifeature.models import Job, Stage, Status, WebFailure
from aifeature.services.controls import effective
from aifeature.web import history
from tests.browser import scenes
from tests.browser.pages import FORM, assert_fits, press_send, sign_in
from tests.browser.screenshots import DISPLAYS

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage


@pytest.mark.parametrize("display", DISPLAYS)
def test_no_page_has_a_barrier(
    open_page: OpenPage, ada: User, no_barriers: Axe, display: str
) -> None:
    jobs = [scenes.job(ada, status) for status in Status]
    page = open_page(ada, **DISPLAYS[display])
    for job in jobs:
        page.goto(f"/jobs/{job.id}/")
        page.get_by_text("What you sent").click()
        no_barriers(page)
    for path in ["/", FORM, "/jobs/", "/jobs/?q=zebra", "/nowhere/"]:
        page.goto(path)
        no_barriers(page)
    page.goto(FORM)
    press_send(page)
    page.get_by_text("This field is required.").wait_for()
    no_barriers(page)
    assert_fits(page)
    scenes.betas(scenes.person("sam", is_staff=True))
    page.goto("/beta/")
    no_barriers(page)
    assert_fits(page)
    page.context.clear_cookies()
    page.goto("/accounts/login/")
    no_barriers(page)


def test_nothing_sticks_out_on_a_phone(open_page: OpenPage, ada: User) -> None:
    unbroken = "x" * 400
    result = {"summary": unbroken, "key_facts": [unbroken]}
    job = scenes.job(ada, Status.SUCCEEDED, document=unbroken, result=result)
    page = open_page(ada, **DISPLAYS["phone"])
    for path in ["/", FORM, "/jobs/", f"/jobs/{job.id}/"]:
        page.goto(path)
        for asked in page.get_by_text("What you sent").all():
            asked.click()
        assert_fits(page)


def test_the_history_finds_filters_and_turns_pages(open_page: OpenPage, ada: User) -> None:
    for number in range(25):
        text = f"Request number {number} of the week."
        scenes.job(ada, Status.SUCCEEDED, age=timedelta(minutes=number), document=text)
    scenes.job(ada, Status.FAILED, document="A zebra crossed the street.")
    page = open_page(ada)
    page.goto("/jobs/")
    rows = page.locator(".row")
    expect(rows).to_have_count(20)
    page.get_by_role("link", name="Older").click()
    page.get_by_text("Request number 24 of").wait_for()
    expect(rows).to_have_count(6)
    page.get_by_role("link", name="Newer").click()
    page.get_by_text("zebra").wait_for()
    page.go_back()
    page.get_by_text("Request number 24 of").wait_for()

    page.get_by_label("Search").fill("ZEBRA")
    page.get_by_text("A zebra crossed").wait_for()
    expect(rows).to_have_count(1)
    page.wait_for_url(re.compile("q=ZEBRA"))
    page.get_by_label("State").select_option(label="Done")
    page.get_by_text("No matches").wait_for()
    page.get_by_role("link", name="Show all requests").click()
    page.get_by_text("zebra").wait_for()
    rows.first.get_by_role("link").click()
    page.locator("[data-state=failed]").wait_for()


def test_a_failed_search_shows_a_reference(
    open_page: OpenPage, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a zebra")

    page = open_page(ada)
    page.goto("/jobs/")
    monkeypatch.setattr(history, "page", broken)
    page.get_by_label("Search").fill("zebra")
    page.get_by_role("heading", name="Something went wrong on our side").wait_for()
    reference = page.locator(".reference b").inner_text()
    assert WebFailure.objects.get(pk=reference).code == "RuntimeError"


def test_the_history_works_without_javascript(open_page: OpenPage, ada: User) -> None:
    for number in range(21):
        scenes.job(ada, Status.SUCCEEDED, age=timedelta(minutes=number), document=f"No {number}.")
    page = open_page(ada, java_script_enabled=False)
    page.goto("/jobs/")
    page.get_by_role("link", name="Older").click()
    page.get_by_text("No 20.").wait_for()
    page.get_by_label("Search").fill("no 7.")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("No 7.").wait_for()
    expect(page.locator(".row")).to_have_count(1)


def test_pages_without_permission_are_not_found(open_page: OpenPage, ada: User) -> None:
    theirs = scenes.job(scenes.person("bob"), Status.SUCCEEDED)
    for slug in registry.slugs():
        effective.change(slug, {"stage": Stage.STAFF}, reason="test", check_name="test")
    effective.cache.clear()
    page = open_page(ada)
    for path in [f"/jobs/{theirs.id}/", FORM, f"/jobs/{theirs.id}/?part"]:
        response = page.goto(path)
        assert response is not None
        assert response.status == 404
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
    page.goto("/")
    expect(page.get_by_text("No features are available to you yet")).to_be_visible()


def test_five_failures_close_the_sign_in(open_page: OpenPage, no_barriers: Axe) -> None:
    scenes.person("mallory")
    page = open_page()
    page.goto("/accounts/login/")
    for _ in range(5):
        sign_in(page, "mallory", password="wrong")
    page.get_by_role("heading", name="Too many attempts to sign in").wait_for()
    no_barriers(page)


def test_admin_and_the_api_documentation_keep_their_policy(
    open_page: OpenPage, ada: User, sam: User
) -> None:
    job = scenes.job(ada, Status.SUCCEEDED)
    page = open_page(sam, **DISPLAYS["light"])
    changed = reverse("admin:aifeature_job_change", args=[job.pk])
    added = [reverse("admin:auth_user_add"), reverse("admin:aifeature_featurecontrol_changelist")]
    for path in ["/admin/", reverse("admin:aifeature_job_changelist"), changed, *added]:
        page.goto(path)
        page.wait_for_load_state("networkidle")
    page.goto("/api/v1/docs")
    page.locator(".opblock-summary-control").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.get_by_text("Response body").first.wait_for()
    assert Job.objects.count() == 1
