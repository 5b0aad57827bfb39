"""Pages that say in words what went wrong. They need no database, no session and no user."""

from __future__ import annotations

import sys
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse

from aifeature.services.failures.web_failures import failures
from aifeature.web import context, sign_in, sign_in_reasons

DATABASE_RETRY_S: Final = 5
"""What a browser is asked to wait while the database is away: about one failover probe."""


def page(
    status: int,
    title: str,
    *sentences: str,
    again: bool = False,
    retry_after_s: int | None = None,
    code: str = "",
    error: BaseException | None = None,
) -> HttpResponse:
    """An error page. The failure is noted for on-call, and the page shows its reference.

    Args:
        status: HTTP status.
        title: What happened, in a few words.
        sentences: Why, and what the person can do.
        again: Whether asking for the same page again may help; then it offers that.
        retry_after_s: Seconds for the Retry-After header.
        code: Why, in a word for on-call.
        error: The exception that is behind it.
    """
    values = {
        "status": status,
        "title": title,
        "sentences": sentences,
        "again": again,
        "reference": failures.note(status, code, error),
    }
    response = HttpResponse(
        render_to_string("error.html", {**values, **context.site()}), status=status
    )
    response["Cache-Control"] = "no-store"
    if retry_after_s is not None:
        response["Retry-After"] = str(retry_after_s)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """400, or 413 when it was too much."""
    if isinstance(exception, RequestDataTooBig):
        megabytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE / 1_000_000
        return page(
            413,
            "That is too much text",
            f"More than {megabytes:.1f} MB cannot be sent at once.",
            "Go back and shorten it; what you entered is still there.",
        )
    return page(400, "We could not read that", "The request was malformed.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """403: signed in, but not allowed."""
    return page(403, "This is not for you to open", "Ask your administrator if you think it is.")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """403: the form's protection against forgery did not match. Mostly it was merely old.

    A browser that shows no session any more is asked to sign in: that is what it needs first.
    """
    if sign_in_reasons.is_form(request) and settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return sign_in.ask(request)
    return page(
        403,
        "This form is out of date",
        "You signed in or out since it was opened, or your browser sent no cookies.",
        "Nothing was sent. Go back, reload the page, and send it again.",
        code="csrf",
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """404. Also what a stranger gets for another's job, so it tells neither apart."""
    return page(
        404,
        "There is nothing here",
        "The address is wrong, or the page is not yours to see.",
    )


def locked_out(request: HttpRequest, *_: Any) -> HttpResponse:
    """429 for who failed to sign in too often. Axes passes other arguments under ASGI: not used."""
    wait_s = getattr(request, "sign_in_wait_s", int(settings.AXES_COOLOFF_TIME.total_seconds()))
    on_call = "If you are on call: manage.py kill_switch needs no sign-in."
    return page(
        429,
        "Too many attempts to sign in",
        f"For your safety we closed this sign-in for {-(-wait_s // 60)} minutes.",
        "If you forgot your password, your administrator can set a new one.",
        *([on_call] if request.path == reverse("admin:login") else ()),
        retry_after_s=wait_s,
        code="sign_in_locked",
    )


def server_error(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """500; or 503 when the database is away, which is an outage and no defect of the page."""
    # A pool that ran dry (PoolBusyError) arrives as an OperationalError too.
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        return page(
            503,
            "We are away for a moment",
            "The service is temporarily unavailable. Nothing that you sent before is lost.",
            again=True,
            retry_after_s=DATABASE_RETRY_S,
            error=error,
        )
    return page(
        500,
        "Something broke on our side",
        "It was not your fault, and our team has been told.",
        again=True,
        error=error,
    )
