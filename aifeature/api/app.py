"""A NinjaAPI with uniform responses, including those that Ninja and Django generate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from aifeature.api import openapi, problems
from aifeature.services.stores import demo_data

View = Callable[..., HttpResponseBase]
AsyncView = Callable[..., Awaitable[HttpResponseBase]]


class Api(NinjaAPI):
    """Responses are not cached. All errors are problem documents, also for unknown URLs."""

    def set_default_exception_handlers(self) -> None:
        handler: Any = problems.answer  # Ninja's type includes classes, but it passes none
        self.add_exception_handler(Exception, handler)

    @property
    def urls(self) -> tuple[list[URLResolver | URLPattern], str, str]:
        """The URL configuration, with a catch-all route at the end."""
        patterns, app_name, namespace = super().urls
        kept: list[URLResolver | URLPattern] = [
            URLPattern(p.pattern, keep_rules(p.callback), p.default_args, p.name)
            for p in patterns
            if isinstance(p, URLPattern)
        ]
        return [*kept, path("<path:unknown>", keep_rules(_unknown))], app_name, namespace

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """Return the OpenAPI document, with the problem schema that error responses refer to.

        Where there are synthetic data, its description warns of them.
        """
        schema = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        openapi.complete(schema)
        if before := demo_data.reader.before():
            openapi.warn_of_synthetic_data(schema, before)
        return schema


def _unknown(request: HttpRequest, unknown: str) -> HttpResponse:  # noqa: ARG001 (a view's form)
    return problems.problem(problems.not_found())


def keep_rules(view: Any) -> Any:
    """Wrap a view so that all its responses and exceptions follow the rules of the API."""
    if iscoroutinefunction(view):
        return _keep_rules_async(view)

    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 (API boundary: no traceback leaves it)
            response = problems.answer(request, error)
        return _finished(response)

    return _like(view, wrapped)


def _keep_rules_async(view: AsyncView) -> AsyncView:
    async def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = await view(request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 (API boundary: no traceback leaves it)
            response = problems.answer(request, error)
        return _finished(response)

    like: AsyncView = _like(view, wrapped)
    return like


def _like(view: Any, wrapped: Any) -> Any:
    """Give `wrapped` the view's name. It is exempt, since `auth` checks CSRF with its own error."""
    return csrf_exempt(wraps(view)(wrapped))


def _finished(response: HttpResponseBase) -> HttpResponseBase:
    if isinstance(response, HttpResponseNotAllowed):
        response = problems.method_not_allowed(response.headers["Allow"])
    response.headers.setdefault("Cache-Control", "no-store")
    return response
