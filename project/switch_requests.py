"""The middleware for requests that flip a kill switch. Each gets an answer, also without the pool.

A dialog shows a response only if its status is 200, so this describes each failure in a page.

These requests use a few connections outside the pool. Browsers in which staff has signed in have
separate ones, so that strangers cannot use them up. A signed cookie identifies such a browser
without a query.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import Error, connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.http import urlencode

from aifeature.admin.common import dialog_page
from aifeature.admin.controls.switch_forms import ChangeReasonForm, ReleaseForm, StopForm
from aifeature.services.controls import switch_refusal
from aifeature.web import errors

logger = logging.getLogger(__name__)

STAFF_COOKIE: Final[str] = settings.STAFF_COOKIE_NAME
"""The cookie gives no access. Its owner must still sign in and needs the permission."""

_SALT: Final = "staff_browser"

_STAFF_COOKIE_AGE: Final = timedelta(days=30)

_SIGN_IN: Final = "/login/"

_FLIPS: Final = ("/stop/", "/change_reason/", "/release/")

ENDINGS: Final = (*_FLIPS, _SIGN_IN)
"""Endings of the paths of these requests."""

_FORMS: Final = {"stop": StopForm, "change_reason": ChangeReasonForm, "release": ReleaseForm}

_LABELS: Final = {
    "stop": ("Can pull the kill switch", "aifeature.stop_feature"),
    "change_reason": ("Can pull the kill switch", "aifeature.stop_feature"),
    "release": ("Can release the kill switch", "aifeature.release_feature"),
}


@dataclass(frozen=True, slots=True)
class Flip:
    """The change that a request makes to a kill switch."""

    slug: str
    action: str
    """`stop`, `change_reason` or `release`."""

    @property
    def command(self) -> str:
        """The command that makes the same change."""
        return f"manage.py kill_switch {self.action} {self.slug} --user NAME --reason WHY"


class SwitchRequests:
    """A middleware outside of sessions. It passes all other requests on unchanged."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Pass the request on. A flip, or a sign-in for a flip, does not wait for the pool."""
        if flip_of(request) is None and not request.path.endswith(_SIGN_IN):
            passed: HttpResponse | Awaitable[HttpResponse] = self.get_response(request)
            return passed
        if self._is_async:
            return self._answer(request)
        with _without_waiting(request):
            return _with_staff_cookie(request, _for_dialog(request, self.get_response(request)))

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        with _without_waiting(request):
            return _with_staff_cookie(
                request, _for_dialog(request, await self.get_response(request))
            )

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return a response that explains why a flip failed. None lets Django handle the error."""
        flip = flip_of(request)
        if flip is None or isinstance(error, Http404):
            return None
        if isinstance(error, Error):
            logger.warning("a flip of %s was refused: %s", flip.slug, error)
            sentences = switch_refusal.explain(error, flip.slug, command=flip.command).sentences
            return _refused(request, flip, sentences, status=503)
        if isinstance(error, PermissionDenied):
            return _refused(request, flip, _may_not(flip), status=403)
        if dialog_page.by_htmx(request):
            logger.error("a flip of %s failed", flip.slug, exc_info=error)
            sentences = (
                "This button has a defect. Our team has been notified.",
                f"Use {flip.command}.",
            )
            return _refused(request, flip, sentences, status=500)
        return None


def flip_of(request: HttpRequest) -> Flip | None:
    """Return the flip that a request makes, or makes after its sign-in. None if it makes none."""
    path = request.path
    if path.endswith(_SIGN_IN):
        try:
            path = urlsplit(request.GET.get("next", "")).path
        except (ValueError, SuspiciousOperation):  # not a URL, or too many parameters
            return None
    if not path.endswith(_FLIPS):
        return None
    listed = re.escape(reverse("admin:aifeature_featurecontrol_changelist"))
    found = re.fullmatch(rf"{listed}([^/]+)/(stop|change_reason|release)/", path)
    return Flip(unquote(found[1]), found[2]) if found else None


def _without_waiting(request: HttpRequest) -> AbstractContextManager[None]:
    """Return a context in which a flip uses a connection outside the pool."""
    if flip_of(request) is None:
        return nullcontext()
    urgent: AbstractContextManager[None] = connection.urgent(  # type: ignore[attr-defined]  # no stub
        trusted=is_staff_browser(request)
    )
    return urgent


def is_staff_browser(request: HttpRequest) -> bool:
    """Return whether staff has signed in with this browser in the last 30 days."""
    value = request.get_signed_cookie(
        STAFF_COOKIE, default=None, salt=_SALT, max_age=_STAFF_COOKIE_AGE
    )
    return value is not None


def _for_dialog(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Return the response in a form that a dialog can show."""
    if flip_of(request) is None:
        return response
    if dialog_page.FLIPPED in request.META and response.status_code >= 500:  # noqa: PLR2004 (HTTP)
        # The flip is committed. The session failed, which stores the message about it.
        return _go(request, request.META[dialog_page.FLIPPED])
    if request.path.endswith(_SIGN_IN):
        return response
    login = reverse("admin:login")
    if urlsplit(response.headers.get("Location", "")).path == login:
        query = urlencode({"next": dialog_page.address(request)})
        return _go(request, f"{login}?{query}")
    forged = response.status_code == 403 and request.method == "POST"  # noqa: PLR2004 (HTTP)
    if forged and not hasattr(response, "is_explained"):
        return _go(request, dialog_page.address(request, **{dialog_page.OUT_OF_DATE: "1"}))
    return response


def _with_staff_cookie(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Return the response, with the staff cookie if the loaded user is staff."""
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject) and not hasattr(request, "_cached_user"):
        return response  # the user is not loaded, and the database may be unavailable
    if user is not None and user.is_staff:
        response.set_signed_cookie(
            STAFF_COOKIE,
            "yes",
            salt=_SALT,
            max_age=_STAFF_COOKIE_AGE,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    return response


def _go(request: HttpRequest, where: str) -> HttpResponse:
    """Redirect. A request of htmx needs a header instead of a plain redirect."""
    if dialog_page.by_htmx(request):
        return HttpResponse(headers={"HX-Redirect": where})
    return HttpResponseRedirect(where)


def _may_not(flip: Flip) -> tuple[str, ...]:
    label, permission = _LABELS[flip.action]
    return (
        f'You lack the permission "{label}" ({permission}).',
        "A superuser can give it to you: admin, Users.",
        f"Until then a person who has it can press the button, or be the user in {flip.command}.",
    )


def _refused(
    request: HttpRequest, flip: Flip, sentences: tuple[str, ...], *, status: int
) -> HttpResponse:
    if not dialog_page.by_htmx(request):
        response = errors.page(status, switch_refusal.UNCHANGED, *sentences, again=True)
    else:
        form = None
        if request.method == "POST" and status != 403:  # noqa: PLR2004 (HTTP)
            form = _FORMS[flip.action](request, flip.slug, initial=dialog_page.typed(request))
        values = {"title": switch_refusal.UNCHANGED, "sentences": sentences, "form": form}
        response = render(request, "aifeature/admin/switch_refused.html", values)
    response.is_explained = True  # type: ignore[attr-defined]  # for `_for_dialog`
    return response
