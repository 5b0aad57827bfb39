"""A running site for a browser: a web server, a worker and a slow provider.

The servers of `tests.servers` or of a local stack must run, and Django must be set up.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from celery import current_app
from celery.contrib.testing.worker import start_worker
from django.test import override_settings
from playwright.sync_api import Browser, sync_playwright

from aifeature.services.controls import effective
from aifeature.services.provider import factory
from project.asgi import application
from project.stack import signals
from tests.sandbox_server import SandboxServer, running_sandbox
from workers.sandbox.server import listen
from workers.sandbox.settings import SandboxSettings

START_LIMIT_S = 60.0
HUMAN_PACE = SandboxSettings(first_byte_s=0.3, tokens_per_second=60)
"""Slow enough to show words as they arrive, quick enough for a test."""

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")
"""The first one draws the same pages in less processor time, since it has no windows."""

NO_CHROMIUM = f"no chromium here: apt-get install {BROWSERS[0]}, or name one in CHROMIUM"


@dataclass(frozen=True, slots=True)
class Site:
    url: str
    provider: SandboxServer


def find_chromium() -> str | None:
    """Return the path of the browser: CHROMIUM, or the system's."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def running_browser(path: str) -> Iterator[Browser]:
    """Run a headless Chromium that can reach this machine only.

    Playwright keeps an event loop in this thread, in which Django would refuse its ORM.
    """
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    options = [
        "--disable-background-networking",
        "--disable-component-update",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=options)
            try:
                yield browser
            finally:
                browser.close()
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@contextmanager
def running_site(pace: SandboxSettings = HUMAN_PACE) -> Iterator[Site]:
    """Run web server, worker and provider in threads of this process, on the real stores."""
    from django.conf import settings  # noqa: PLC0415 (the script sets Django up first)

    with ExitStack() as exits:
        provider = exits.enter_context(running_sandbox(pace))
        talk_to = {**settings.AIFEATURE, "API_KEY": "k", "BASE_URL": provider.url}
        exits.enter_context(override_settings(AIFEATURE=talk_to))
        factory.gateway.cache_clear()
        exits.callback(_forget_gateway)
        exits.enter_context(
            start_worker(
                current_app,
                pool="threads",
                concurrency=4,
                perform_ping_check=False,
                queues=["llm"],
                shutdown_timeout=START_LIMIT_S,
            )
        )
        yield Site(exits.enter_context(_web()), provider)


def _forget_gateway() -> None:
    factory.gateway().close()
    factory.gateway.cache_clear()


@contextmanager
def _web() -> Iterator[str]:
    effective.cache.clear()
    sock = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        application, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([sock],), name="web", daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, "the web server has started")
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_LIMIT_S)
        sock.close()


def wait_until(holds: Callable[[], Any], what: str, *, limit_s: float = START_LIMIT_S) -> None:
    met = signals.wait_until(lambda: bool(holds()), timeout_s=limit_s)
    assert met, f"waited {limit_s} s: {what}"
