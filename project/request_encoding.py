"""The middleware that makes Django decode every form as UTF-8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

Answer = HttpResponse | Awaitable[HttpResponse]


@sync_and_async_middleware
def utf8(get_response: Callable[[HttpRequest], Answer]) -> Callable[[HttpRequest], Answer]:
    """Set the encoding of each request to UTF-8.

    Django would use the codec that the client declares. Some codecs are not text encodings and
    raise an error. Others decode to halves of surrogate pairs, which PostgreSQL cannot store. The
    standards of both kinds of forms define no `charset`, and this site's pages send UTF-8.
    """

    def prepared(request: HttpRequest) -> HttpRequest:
        if request.encoding is not None:
            request.encoding = "utf-8"
        return request

    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponse:
            response: HttpResponse = await get_response(prepared(request))
            return response

        return answer_async

    def answer(request: HttpRequest) -> Answer:
        return get_response(prepared(request))

    return answer
