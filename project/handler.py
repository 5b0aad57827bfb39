"""Django's ASGI handler, for a site of which two views wait and all others do not.

In Django's asynchronous chain each middleware goes to the request's thread and back by itself,
about eighteen times a request. Here the whole chain runs in that thread, in one piece, unless the
request waits for a job: that must not hold a thread.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase


class Request(ASGIRequest):
    """A request whose form, if it cannot be read, is the client's fault."""

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:  # noqa: N803 (Django's name)
        """The fields and files of a multipart form.

        Raises:
            MultiPartParserError: it is none. Django answers that with 400. The library that it
                reads a part's headers with may raise other errors.
        """
        try:
            return super().parse_file_upload(META, post_data)
        except (TypeError, LookupError, ValueError) as error:
            raise MultiPartParserError("A part's headers cannot be read") from error


class Handler(ASGIHandler):
    """Has the chain of middlewares twice, once for each kind of request."""

    request_class = Request

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
