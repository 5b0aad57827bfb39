"""A browser on a running site. Errors and foreign requests of any page fail the test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from django.db import connections
from playwright.sync_api import expect

from aifeature.models import Job, Status
from aifeature.services.controls import breakers, effective
from aifeature.services.jobs import lifecycle
from tests.browser import live, scenes
from tests.browser.live import Site
from tests.held import FIRST_S, Held, held
from tests.integration.conftest import wait_until_quiet

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from playwright.sync_api import Browser, Page
    from pytest_django.plugin import DjangoDbBlocker

WAIT_MS = 40_000
"""Time-out of a page. Shorter than that of a silent provider and of a test."""


class OpenPage(Protocol):
    def __call__(self, user: User | None = None, **options: Any) -> Page: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests without a browser, except in CI."""
    if live.find_chromium() is not None or os.environ.get("CI", "").lower() in {"1", "true"}:
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=live.NO_CHROMIUM))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser of this package: Playwright's event loop would disturb other tests."""
    path = live.find_chromium()
    if path is None:
        pytest.fail(live.NO_CHROMIUM, pytrace=False)
    expect.set_options(timeout=WAIT_MS)
    with live.running_browser(path) as running:
        yield running


@pytest.fixture(scope="package")
def running(
    browser: Browser, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Site]:
    """A site of this package: its worker would take the jobs of other tests."""
    with django_db_blocker.unblock(), live.running_site() as site:
        yield site


@pytest.fixture
def site(running: Site, transactional_db: None) -> Iterator[Site]:
    """The site, with `summarize` open to all. No job runs after the test."""
    running.provider.reset()
    scenes.open_features()
    yield running
    _end_all_jobs()
    effective.cache.clear()
    breakers.cache.clear()
    connections.close_all()


@pytest.fixture
def answers(site: Site) -> Iterator[Held]:
    """Answers stop after some words until `let_go(FIRST_S)`, so that slow pages show them too."""
    site.provider.set_faults({"kind": "stall", "after_events": 30, "seconds": FIRST_S})
    with held() as found:
        yield found


@pytest.fixture
def ada(site: Site) -> User:
    return scenes.person("ada")


@pytest.fixture
def sam(site: Site) -> User:
    return scenes.person("sam", is_staff=True, is_superuser=True)


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[OpenPage]:
    """Opens pages of the site, as a user if one is given. None may have an error at the end."""
    watches: list[tuple[Any, list[str]]] = []

    def open_one(user: User | None = None, **options: Any) -> Page:
        context = browser.new_context(base_url=site.url, locale="en-GB", **options)
        context.set_default_timeout(WAIT_MS)
        found: list[str] = []
        watches.append((context, found))
        context.on("request", lambda request: _note_foreign_request(request.url, site.url, found))
        context.on("weberror", lambda error: found.append(f"script failed: {error.error}"))
        context.on("console", lambda message: _note_console(message.type, message.text, found))
        if user is not None:
            scenes.sign_in(context, user, site.url)
        return context.new_page()

    yield open_one
    for context, _ in watches:
        context.close()
    assert [line for _, found in watches for line in found] == []


def _note_foreign_request(url: str, home: str, found: list[str]) -> None:
    if not url.startswith((f"{home}/", "data:", "blob:")):
        found.append(f"request to another host: {url}")


def _note_console(kind: str, text: str, found: list[str]) -> None:
    """Note errors, such as violations of the content policy, but not statuses such as 404."""
    if kind in {"error", "warning"} and "Failed to load resource" not in text:
        found.append(f"{kind}: {text}")


def _end_all_jobs() -> None:
    """Cancel all jobs and wait until the worker is idle, since the tables are emptied next."""
    under_way = Job.objects.filter(status__in=[Status.QUEUED, Status.RUNNING])
    for job in under_way.select_related("user"):
        lifecycle.cancel(user=job.user, job_id=job.pk)
    of_workers = under_way.filter(worker__gt="")
    live.wait_until(lambda: not of_workers.exists(), "all jobs have ended")
    wait_until_quiet()


Axe = Callable[["Page"], None]


@pytest.fixture
def no_barriers() -> Axe:
    """Fails on serious and critical findings of axe-core."""
    from axe_playwright_python.sync_playwright import Axe as AxeRunner  # noqa: PLC0415 (slow)

    runner = AxeRunner()

    def check(page: Page) -> None:
        results = runner.run(page)
        grave = [
            f"{page.url}: {v['id']}: {[node['html'][:200] for node in v['nodes']]}"
            for v in results.response["violations"]
            if v["impact"] in {"serious", "critical"}
        ]
        assert grave == []

    return check
