"""The middleware for static files, which uses a thread only for requests of static files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # it has no types
    """WhiteNoise as a middleware for synchronous and asynchronous chains.

    WhiteNoise is synchronous only, so under ASGI a thread would wait for everything below it,
    including the view: a long-poll of 30 s would hold a thread for 30 s. It also returns a
    synchronous stream, which Django must read completely under ASGI. So this reads it in a thread.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def add_files(self, root: str | Path, prefix: str | None = None) -> None:
        """Add the folder, unless it is missing because finders serve the files."""
        if Path(root).is_dir() or not self.use_finders:
            super().add_files(root, prefix)

    def __call__(self, request: HttpRequest) -> Any:
        """Return the static file at this address, otherwise the next layer's response."""
        if iscoroutinefunction(self):
            return self._answer(request)
        static_file = self._found(request)
        return self.get_response(request) if static_file is None else _whole(static_file, request)

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        static_file = self._found(request)
        if static_file is None:
            response: HttpResponseBase = await self.get_response(request)
            return response
        return await sync_to_async(_whole)(static_file, request)

    def _found(self, request: HttpRequest) -> Any:
        find = self.find_file if self.autorefresh else self.files.get
        return find(request.path_info)


def _whole(static_file: Any, request: HttpRequest) -> HttpResponse:
    served = static_file.get_response(request.method, request.META)
    with closing(served.file or BytesIO()) as file:
        response = HttpResponse(file.read(), status=int(served.status))
    del response["Content-Type"]
    for name, value in served.headers:
        response[name] = value
    return response
