"""The page of a job while Redis, and with it the live text, is down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from aifeature.api.events import NO_LIVE_TEXT
from aifeature.services.provider import factory
from aifeature.services.streams import hub, writer
from tests.browser import scenes
from tests.browser.pages import send, wait_until_done
from tests.chaos.proxy import HOST, Mode, Proxy, target_of
from tests.held import FIRST_S, Held
from tests.redis_address import through

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage


@pytest.fixture
def redis_proxy(settings: Any) -> Iterator[Proxy]:
    """A proxy between the site's readers of streams and Redis.

    Writers of streams and the rate gate keep their own connections, for later tests too.
    """
    writer.process()
    factory.shared_state()
    usual = settings.REDIS_URL
    with Proxy(target=target_of(usual)) as proxy:
        settings.REDIS_URL = through(usual, host=HOST, port=proxy.port)
        for found in list(hub._hubs.values()):
            found._url = settings.REDIS_URL
        yield proxy
        for found in list(hub._hubs.values()):
            found._url = usual


def test_a_page_shows_when_live_text_stops_and_continues(
    open_page: OpenPage, ada: User, redis_proxy: Proxy, answers: Held
) -> None:
    page = open_page(ada)
    send(page, scenes.THREAD)
    page.locator(".words").wait_for()
    sentence = page.locator("[data-sentence]")
    expect(sentence).to_have_text("The answer is being written.")

    redis_proxy.set(Mode.CUT)
    expect(sentence).to_have_text(NO_LIVE_TEXT)
    redis_proxy.set(Mode.PASS)
    expect(sentence).to_have_text("The answer is being written.")
    answers.let_go(FIRST_S)
    wait_until_done(page)
