"""The middleware that caches the user of each session.

`project.concurrency` reads the cache before authentication.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from aifeature.api import visitors


class VisitorCacheMiddleware:
    """A middleware after authentication. It runs no query: it caches a user that a view loaded."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Pass the request on, then cache its user."""
        if self._is_async:
            return self._answer(request)
        response: HttpResponseBase = self._get_response(request)
        _remember(request)
        return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self._get_response(request)
        _remember(request)
        return response


def _remember(request: HttpRequest) -> None:
    user = getattr(request, "_cached_user", None)
    if user is None or request.path.startswith("/api/"):  # the API caches users itself
        return
    shown = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if isinstance(user, AbstractBaseUser) and request.session.session_key == shown:
        visitors.remember(user.pk)
    else:  # the session has ended, or has no user
        visitors.forget()
