"""The control panel refreshes while its page is seen, under the content policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User

if TYPE_CHECKING:
    from tests.browser.conftest import Axe, OpenPage

PART = "**/panel/?part"
TURN_MS = 2100


def test_the_panel_refreshes_only_while_it_is_seen(
    open_page: OpenPage, sam: User, no_barriers: Axe
) -> None:
    page = open_page(sam)
    page.clock.install()
    page.goto("/panel/")
    no_barriers(page)
    with page.expect_response(PART):
        page.clock.run_for(TURN_MS)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.clock.run_for(2 * TURN_MS)
    assert sent == []
    page.evaluate("delete document.hidden")
    with page.expect_response(PART):
        page.clock.run_for(TURN_MS)
