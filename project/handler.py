"""Django's ASGI handler for a site with two views that wait for jobs.

In Django's asynchronous chain each synchronous middleware switches to the request's thread and
back, about eighteen times per request. Here the whole chain runs in that thread, except for a
request that waits for a job, which must not hold a thread.
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
    """A request that answers 400 to an unreadable form."""

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:  # noqa: N803 (Django's name)
        """Return the fields and files of a multipart form.

        Raises:
            MultiPartParserError: it is unreadable. Django answers 400. The parser of a part's
                headers may raise other errors, which would become a 500.
        """
        try:
            return super().parse_file_upload(META, post_data)
        except (TypeError, LookupError, ValueError) as error:
            raise MultiPartParserError("A part's headers cannot be read") from error


class Handler(ASGIHandler):
    """Has two chains of middlewares: a synchronous and an asynchronous one."""

    request_class = Request

    def __init__(self) -> None:
        super().__init__()
        self._in_thread = BaseHandler()
        self._in_thread.load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response of the chain for this kind of request."""
        if waits(request):
            return await super().get_response_async(request)
        return await sync_to_async(self._in_thread.get_response)(request)


def waits(request: HttpRequest) -> bool:
    """Return whether the request may wait for a job: a stream or a long-poll."""
    try:
        return request.path.endswith("/events") or "wait" in request.GET
    except SuspiciousOperation:  # too many parameters: the synchronous chain answers 400
        return False
