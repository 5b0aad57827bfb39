"""Reads every form as UTF-8, whatever encoding its request declares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

Answer = HttpResponse | Awaitable[HttpResponse]


@sync_and_async_middleware
def utf8(get_response: Callable[[HttpRequest], Answer]) -> Callable[[HttpRequest], Answer]:
    """Set the encoding of each request to UTF-8.

    Django would use the codec that the client names. Some codecs are no text encodings and raise
    an error, others decode to half surrogate pairs, which PostgreSQL does not store. The standards
    of both kinds of form define no `charset`, and pages of this site send UTF-8.
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
