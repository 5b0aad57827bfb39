"""Error pages. They need no database, session or user."""

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
from aifeature.services.stores import demo_data
from aifeature.web import context, sign_in, sign_in_reasons

DATABASE_RETRY_S: Final = 5
"""Retry-After while the database is unavailable: about one failover probe."""


def page(
    status: int,
    title: str,
    *sentences: str,
    again: bool = False,
    retry_after_s: int | None = None,
    code: str = "",
    error: BaseException | None = None,
) -> HttpResponse:
    """Return an error page. Record the failure for on-call; the page shows its reference.

    Args:
        status: HTTP status.
        title: A summary in a few words.
        sentences: The cause, and what the user can do.
        again: Whether the page offers a retry.
        retry_after_s: Seconds for the Retry-After header.
        code: Cause in one word, for on-call.
        error: The exception that caused the failure.
    """
    values = {
        "status": status,
        "title": title,
        "sentences": sentences,
        "again": again,
        "reference": failures.note(status, code, error),
    }
    response = HttpResponse(
        render_to_string(
            "error.html",
            # No query: the database may be what failed.
            {**values, **context.site(), "synthetic_before": demo_data.reader.known()},
        ),
        status=status,
    )
    response["Cache-Control"] = "no-store"
    if retry_after_s is not None:
        response["Retry-After"] = str(retry_after_s)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Return 400, or 413 for a body that is too large."""
    if isinstance(exception, RequestDataTooBig):
        megabytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE / 1_000_000
        return page(
            413,
            "Your text is too long",
            f"You can send at most {megabytes:.1f} MB at a time.",
            "Go back and shorten the text. What you entered is still there.",
        )
    return page(400, "We could not read your request", "Go back, reload the page and try again.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Return 403 for a signed-in user without access."""
    return page(403, "You cannot open this page", "If you need access, ask your administrator.")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """Return 403 for a form whose CSRF token did not match, usually because the form is old.

    A browser without a session cookie gets the sign-in page instead.
    """
    if sign_in_reasons.is_form(request) and settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return sign_in.ask(request)
    return page(
        403,
        "This form is out of date",
        "You signed in or out after opening it, or your browser did not send cookies.",
        "Nothing was sent. Go back, reload the page and send it again.",
        code="csrf",
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Return 404, the same for a missing page and for another user's job."""
    return page(
        404, "Page not found", "The address is wrong, or you do not have access to this page."
    )


def locked_out(request: HttpRequest, *_: Any) -> HttpResponse:
    """Return 429 after too many failed sign-ins. Axes passes further arguments under ASGI."""
    wait_s = getattr(request, "sign_in_wait_s", int(settings.AXES_COOLOFF_TIME.total_seconds()))
    on_call = "If you are on call: manage.py kill_switch needs no sign-in."
    return page(
        429,
        "Too many attempts to sign in",
        f"For your security, sign-in is blocked for {-(-wait_s // 60)} minutes.",
        "If you forgot your password, your administrator can set a new one.",
        *([on_call] if request.path == reverse("admin:login") else ()),
        retry_after_s=wait_s,
        code="sign_in_locked",
    )


def server_error(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Return 500, or 503 if the database is unavailable, which is no defect of the page."""
    # An exhausted pool (PoolBusyError) is an OperationalError too.
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        return page(
            503,
            "Temporarily unavailable",
            "The service is not available at the moment. What you sent before is not lost.",
            again=True,
            retry_after_s=DATABASE_RETRY_S,
            error=error,
        )
    return page(
        500,
        "Something went wrong on our side",
        "You did nothing wrong. Our team has been notified.",
        again=True,
        error=error,
    )
