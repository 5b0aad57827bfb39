"""The main job in a browser: send a text, watch the answer arrive, keep it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from aifeature.models import Job, Status
from tests.browser import scenes
from tests.browser.live import Site, wait_until
from tests.browser.pages import FORM, press_send, send, sign_in, wait_until_done
from tests.held import FIRST_S, Held

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage

SHORT = "Refunds are paid within 30 days. Anna Berg decides on exceptions."


def words(page: Page) -> str:
    """Return the words of the stream that the page shows."""
    return page.evaluate("document.querySelector('.words')?.textContent ?? ''")  # type: ignore[no-any-return]


def test_from_signing_in_to_the_answer(open_page: OpenPage, answers: Held) -> None:
    scenes.person("ada")
    page = open_page()
    page.goto("/")
    sign_in(page, "ada")
    page.get_by_role("link", name="Summarise a document").click()
    job = send(page)

    wait_until(lambda: words(page), "words are there before the job is done")
    early = words(page)
    job.refresh_from_db()
    assert job.status == Status.RUNNING

    answers.let_go(FIRST_S)
    wait_until_done(page)
    job.refresh_from_db()
    assert job.result is not None
    answer = page.locator("[data-answer]")
    assert job.result["summary"].startswith(early)
    expect(answer).to_contain_text(job.result["summary"])
    for fact in job.result["key_facts"]:
        expect(answer.get_by_role("listitem").filter(has_text=fact)).not_to_have_count(0)
    expect(page.locator(".clock")).to_have_text(re.compile("^took "))
    announced = page.locator("#announce")
    expect(announced).to_have_text(re.compile("^Done"))
    expect(announced).to_contain_text(job.result["summary"])
    expect(page).to_have_title(re.compile("^Done"))


def test_a_reload_during_a_stream_continues_with_the_text(
    open_page: OpenPage, ada: User, answers: Held
) -> None:
    page = open_page(ada)
    job = send(page)
    wait_until(lambda: len(words(page)) > 20, "some words are there")
    before = words(page)
    page.reload()
    page.locator(".words").wait_for()
    assert words(page).startswith(before)
    seen = _watch_words(page)
    answers.let_go(FIRST_S)
    wait_until_done(page)
    job.refresh_from_db()
    assert job.result is not None
    summary = job.result["summary"]
    assert all(summary.startswith(text) for text in seen())
    expect(page.locator("[data-answer]")).to_contain_text(summary)


def _watch_words(page: Page) -> Callable[[], list[str]]:
    page.evaluate(
        """() => { window.seen = [];
        new MutationObserver(() => {
          const words = document.querySelector('.words');
          if (words) window.seen.push(words.textContent);
        }).observe(document.getElementById('job'),
          {childList: true, subtree: true, characterData: true}); }"""
    )
    return lambda: page.evaluate("window.seen")


def test_a_job_can_be_cancelled(open_page: OpenPage, ada: User, answers: Held) -> None:
    page = open_page(ada)
    job = send(page, scenes.THREAD * 3)
    page.locator(".words").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.locator("[data-state=cancelled]").wait_for()
    expect(page.locator("[data-sentence]")).to_have_text(re.compile("^You cancelled this request"))
    job.refresh_from_db()
    assert job.status == Status.CANCELLED
    expect(page.locator("[data-answer]")).to_contain_text(job.partial_text)
    page.get_by_role("link", name="Try again").click()
    assert job.input is not None
    expect(page.get_by_label("Document")).to_have_value(job.input["document"])


def test_an_open_page_shows_a_failure(site: Site, open_page: OpenPage, ada: User) -> None:
    site.provider.set_faults({"kind": "refusal"})
    page = open_page(ada)
    job = send(page)
    page.locator("[data-state=failed]").wait_for()
    job.refresh_from_db()
    assert job.error_message
    expect(page.locator("[data-sentence]")).to_have_text(job.error_message)
    expect(page.get_by_role("link", name="Try again")).to_be_visible()


def test_a_job_can_be_sent_by_keyboard(site: Site, open_page: OpenPage, ada: User) -> None:
    page = open_page(ada)
    page.goto(FORM)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "TEXTAREA":
            break
    page.keyboard.type(SHORT)
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/jobs/*/")
    wait_until_done(page)


def test_a_double_click_sends_it_once(site: Site, open_page: OpenPage, ada: User) -> None:
    page = open_page(ada)
    page.goto(FORM)
    page.get_by_label("Document").fill(SHORT)
    page.get_by_role("button", name="Send", exact=True).dblclick()
    wait_until_done(page)
    assert Job.objects.count() == 1


def test_a_text_file_goes_into_the_form(site: Site, open_page: OpenPage, ada: User) -> None:
    page = open_page(ada)
    page.goto(FORM)
    control = page.get_by_label("Load a text file")
    control.set_input_files({"name": "a.bin", "mimeType": "text/plain", "buffer": b"\xff\xfe\x00"})
    page.get_by_text("not plain text in UTF-8").wait_for()
    text = "Grüße aus Köln.\nBis bald."
    control.set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": text.encode()})
    page.get_by_text("a.txt: 25 characters loaded.").wait_for()
    expect(page.get_by_label("Document")).to_have_value(text)


def test_without_javascript(open_page: OpenPage, ada: User, answers: Held) -> None:
    page = open_page(ada, java_script_enabled=False)
    job = send(page, SHORT)
    page.get_by_text("checks for the answer every three seconds").wait_for()
    answers.let_go(FIRST_S)
    wait_until_done(page)  # the page reloads by itself
    job.refresh_from_db()
    assert job.result is not None
    expect(page.locator("[data-answer]")).to_contain_text(job.result["summary"])


def test_without_javascript_the_server_reads_the_file(
    site: Site, open_page: OpenPage, ada: User
) -> None:
    page = open_page(ada, java_script_enabled=False)
    page.goto(FORM)
    page.get_by_label("Load a text file").set_input_files(
        {"name": "t.txt", "mimeType": "text/plain", "buffer": SHORT.encode()}
    )
    press_send(page)
    page.wait_for_url("**/jobs/*/")
    assert Job.objects.get().input == {"document": SHORT}
