"""Refuses a request whose headers Django cannot read, before anything else looks at it.

Django would answer each of them with a bare 500 and a traceback, whatever its address.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest

from aifeature.api.refusals import BadRequest
from project.early_answer import Answer
from project.lifespan import App, Receive, Send


class Readable:
    """An ASGI application around one that makes Django's request of what it gets."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and not _is_readable(scope):
            refusal = BadRequest("The request's Content-Type or its query cannot be read.")
            await Answer(send).refuse(scope, refusal, close=True)
            return
        await self._app(scope, receive, send)


def _is_readable(scope: Any) -> bool:
    try:
        ASGIRequest(scope, BytesIO())
    except (ValueError, TypeError, LookupError):  # of the parser for parameters of a Content-Type
        return False
    return True
