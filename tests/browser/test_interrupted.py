"""What a page says while Redis, and with it the live text, is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User

from aifeature.api.events import NO_LIVE_TEXT
from aifeature.services.provider import factory
from aifeature.services.streams import hub, writer
from tests.browser import scenes
from tests.browser.test_job import see_done, send
from tests.chaos.proxy import HOST, Mode, Proxy
from tests.redis_address import through

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage


@pytest.fixture
def redis_door(settings: Any) -> Iterator[Proxy]:
    """Between the site's readers of streams and Redis.

    Who writes them, and who counts calls, is made before: the process keeps both for later tests.
    """
    writer.process()
    factory.shared_state()
    usual = settings.REDIS_URL
    parts = urlsplit(usual)
    with Proxy(target=(parts.hostname or HOST, parts.port or 6379)) as proxy:
        settings.REDIS_URL = through(usual, host=HOST, port=proxy.port)
        for found in list(hub._hubs.values()):
            found._url = settings.REDIS_URL
        yield proxy
        for found in list(hub._hubs.values()):
            found._url = usual


def test_a_page_tells_that_no_words_come_and_when_they_come_again(
    open_page: OpenPage, ada: User, redis_door: Proxy, go_on: threading.Event
) -> None:
    page = open_page(ada)
    send(page, scenes.THREAD)
    page.locator(".words").wait_for()
    sentence = page.locator("[data-sentence]")
    assert sentence.inner_text() == "The answer is being written."

    redis_door.set(Mode.CUT)
    page.get_by_text(NO_LIVE_TEXT).first.wait_for()
    assert sentence.inner_text() == NO_LIVE_TEXT
    redis_door.set(Mode.PASS)
    page.locator("[data-sentence]", has_text="The answer is being written.").wait_for()
    go_on.set()
    see_done(page)
