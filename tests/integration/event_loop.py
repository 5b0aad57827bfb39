"""Helpers for tests that run the site in an event loop of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httpx2
from django.contrib.auth.models import User

from aifeature.models import ApiToken

BOUND_S = 40.0
"""Far above what any condition needs, and below the time-out of a read of Redis in these tests."""


async def until(met: Callable[[], bool], *, pause_s: float = 0.005) -> None:
    """Wait for a condition on the state of other code."""
    async with asyncio.timeout(BOUND_S):
        while not met():  # noqa: ASYNC110 (the other code sets no event)
            await asyncio.sleep(pause_s)


def client_of(app: object, user: User | None = None, **options: Any) -> httpx2.AsyncClient:
    """Return a client of this ASGI application, with a new token of the user."""
    if user is not None:
        _, text = ApiToken.issue(user_id=user.pk, name="test")
        options["headers"] = {"authorization": f"Bearer {text}"}
    transport = httpx2.ASGITransport(app=cast("Any", app), client=("192.0.2.7", 5))
    return httpx2.AsyncClient(
        transport=transport, **{"base_url": "http://testserver", "timeout": 60, **options}
    )
