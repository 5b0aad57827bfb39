"""Rate an answer in a browser, with and without JavaScript, and what else the page notes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from aifeature.models import Feedback, JobSignal, NpsAnswer, Status
from tests.browser import scenes
from tests.browser.conftest import Axe
from tests.browser.live import wait_until

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage

QUESTION = re.compile("^How likely are you to recommend")


def thumb(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_from_a_thumb_to_a_comment(open_page: OpenPage, ada: User, no_barriers: Axe) -> None:
    jobs = [scenes.job(ada, Status.SUCCEEDED) for _ in range(3)]
    address = f"/jobs/{jobs[0].pk}/"
    page = open_page(ada)
    page.goto(address)
    page.evaluate("window.isFirst = true")
    thumb(page, "Yes")
    expect(page.get_by_role("heading", name="Thanks for telling us")).to_be_focused()
    page.get_by_label("Easy to read").check()
    page.get_by_label("Comment").fill("Short and clear.")
    expect(page.get_by_text("1,984 characters left.")).to_be_visible()
    page.locator("[data-rate]").get_by_role("button", name="Send").click()
    page.get_by_text("Change your feedback").wait_for()
    row = Feedback.objects.get()
    assert (row.rating, row.reasons, row.comment) == (1, ["clear"], "Short and clear.")

    thumb(page, "No")
    page.get_by_label("Something is missing").wait_for(state="attached")
    row.refresh_from_db()
    assert (row.rating, row.first_rating, row.reasons) == (-1, 1, [])
    no_barriers(page)
    assert page.evaluate("window.isFirst"), "no reload"

    # Another tab shows the question too, and the first answer counts.
    other = open_page(ada)
    other.goto(f"/jobs/{jobs[1].pk}/")
    for each, score in ((page, "9"), (other, "2")):
        expect(each.get_by_role("group", name=QUESTION)).to_be_visible()
        each.get_by_role("radio", name=score, exact=True).check()
        each.locator("[data-nps]").get_by_role("button", name="Send").click()
        each.get_by_text("We will not ask you again soon").wait_for()
    assert NpsAnswer.objects.get().score == 9
    page.reload()
    expect(page.get_by_text(QUESTION)).to_have_count(0)

    page.get_by_role("button", name="Copy the answer").click()
    wait_until(lambda: names() == {"copied"}, "the copy is noted")

    plain = open_page(ada, java_script_enabled=False)
    plain.goto(f"/jobs/{jobs[2].pk}/")
    thumb(plain, "No")
    plain.get_by_label("Wrong").check()
    plain.get_by_label("Comment").fill("It names the wrong city.")
    plain.locator("[data-rate]").get_by_role("button", name="Send").click()
    plain.get_by_text("Change your feedback").wait_for()
    assert Feedback.objects.get(job=jobs[2]).reasons == ["wrong"]


def names() -> set[str]:
    return set(JobSignal.objects.values_list("name", flat=True))


def test_leaving_early_is_noted_until_the_answer_is_read(open_page: OpenPage, ada: User) -> None:
    waiting, done = scenes.job(ada, Status.QUEUED), scenes.job(ada, Status.SUCCEEDED)
    page = open_page(ada)
    page.goto(f"/jobs/{waiting.pk}/")
    page.goto("/jobs/")
    wait_until(lambda: names() == {"abandoned"}, "leaving is noted")
    JobSignal.objects.update(job=done)  # as if it had ended meanwhile
    page.goto(f"/jobs/{done.pk}/")
    wait_until(lambda: not names(), "reading takes it back")
