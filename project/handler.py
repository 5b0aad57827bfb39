"""Django's ASGI handler, for a site of which two views wait and all others do not.

In Django's asynchronous chain each middleware goes to the request's thread and back by itself,
about eighteen times a request. Here the whole chain runs in that thread, in one piece, unless the
request waits for a job: that must not hold a thread.
"""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class Handler(ASGIHandler):
    """Has the chain of middlewares twice, once for each kind of request."""

    def __init__(self) -> None:
        """Load both chains."""
        super().__init__()
        self._in_thread = BaseHandler()
        self._in_thread.load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, from the chain that fits the request."""
        if waits(request):
            return await super().get_response_async(request)
        return await sync_to_async(self._in_thread.get_response)(request)


def waits(request: HttpRequest) -> bool:
    """Whether the request may be answered much later: a stream, or a long-poll."""
    try:
        return request.path.endswith("/events") or "wait" in request.GET
    except SuspiciousOperation:  # too many parameters; the synchronous chain says so
        return False
