"""Responses on their way to the client, and refusals that are sent before Django runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpResponse

from aifeature.api import problems, rate
from aifeature.services.jobs.refusals import Refusal
from aifeature.services.texts import references
from aifeature.web import errors
from project.failed_requests import HEADER
from project.lifespan import Send

_SECURE: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:",
}
"""Headers that middlewares set, which such refusals do not pass."""


class Answer:
    """Passes a response on to the client, and can send a refusal instead."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.at_start: Callable[[], None] = lambda: None

    async def send(self, message: Any) -> None:
        if not self.begun:
            self.begun = True
            self.at_start()
        await self._send(message)

    async def refuse(self, scope: Any, refusal: Refusal, *, close: bool) -> None:
        """Send the refusal: JSON to a client of the API, otherwise a page.

        Args:
            scope: The request's ASGI scope.
            refusal: The reason.
            close: Whether to close the connection, since unread bytes of the body may follow.
        """
        visit = references.begin()
        is_api = scope["path"].startswith("/api/")
        may_repeat = scope["method"] == "GET"  # repeating a form would lose its data
        response = problems.problem(refusal) if is_api else _page(refusal, again=may_repeat)
        rate.set_headers(response, refusal.left, policy=rate.ALL_REQUESTS)
        response.headers.setdefault("Cache-Control", "no-store")
        if visit.is_noted:
            response.headers[HEADER] = visit.reference
        for name, value in _SECURE.items():
            response.headers.setdefault(name, value)
        headers = [(k.lower().encode(), v.encode()) for k, v in response.items()]
        headers.append((b"content-length", str(len(response.content)).encode()))
        if close:
            headers.append((b"connection", b"close"))
        status = response.status_code
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": response.content})


def _page(refusal: Refusal, *, again: bool) -> HttpResponse:
    return errors.page(
        *(refusal.status, refusal.title, refusal.detail),
        again=again,
        retry_after_s=refusal.retry_after_s,
        code=refusal.code,
    )
