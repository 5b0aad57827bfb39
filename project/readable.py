"""Refuses a request whose headers Django cannot read, before any other code reads them.

Django would answer each of them with a bare 500 and log a traceback.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest

from aifeature.api.refusals import BadRequest
from project.early_answer import Answer
from project.lifespan import App, Receive, Send


class Readable:
    """An ASGI application that passes on only requests that Django can parse."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_readable(scope):
            refusal = BadRequest("The request's Content-Type or its query cannot be read.")
            await Answer(send).refuse(scope, refusal, close=True)
            return
        await self._app(scope, receive, send)


def _is_readable(scope: Any) -> bool:
    try:
        ASGIRequest(scope, BytesIO())
    except (ValueError, TypeError, LookupError):  # raised by the parser of the Content-Type
        return False
    return True
