"""The middleware that gives each request a reference and stores the failed ones.

It also stores counts of refused submissions, which wait in memory for some seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import sentry_sdk
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from aifeature.services.failures.web_failures import failures
from aifeature.services.monitoring.refused_submissions import counts
from aifeature.services.texts import references
from aifeature.services.texts.references import Visit
from project.switch_requests import ENDINGS

HEADER: Final = "X-Request-ID"

PROBES: Final = ("/healthz", "/readyz")

_FAULT: Final = 500


class FailedRequests:
    """The outermost middleware. A failed response has its reference in the header `HEADER`."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Pass the request on, then store its failures."""
        if request.path in PROBES:
            passed: HttpResponseBase | Awaitable[HttpResponseBase] = self._get_response(request)
            return passed
        if self._is_async:
            return self._answer(request)
        visit = _begin(request)
        response: HttpResponseBase = self._get_response(request)
        _end(visit, response)
        if _may_store(request):
            _store()
        return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        visit = _begin(request)
        response: HttpResponseBase = await self._get_response(request)
        _end(visit, response)
        if _may_store(request):
            await sync_to_async(_store)()
        return response


@receiver(request_finished, dispatch_uid="project.failed_requests")
def _forget(**_: Any) -> None:
    """Remove the reference, so that later log lines do not show it."""
    references.visit.set(None)


def _begin(request: HttpRequest) -> Visit:
    visit = references.begin(request)
    sentry_sdk.set_tag("reference", visit.reference)
    return visit


def _end(visit: Visit, response: HttpResponseBase) -> None:
    if response.status_code >= _FAULT:
        failures.note(response.status_code, "")
    if visit.is_noted:
        response.headers[HEADER] = visit.reference


def _may_store(request: HttpRequest) -> bool:
    """Return whether to store something now. A flip must not wait for a pooled connection."""
    return (failures.must_store() or counts.must_store()) and not request.path.endswith(ENDINGS)


def _store() -> None:
    if failures.must_store():
        failures.store()
    counts.store()
