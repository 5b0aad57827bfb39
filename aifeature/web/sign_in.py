"""Signing in, and who may not try again for a while."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from axes.backends import AxesStandaloneBackend
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class Throttle(AxesStandaloneBackend):
    """Turns away who failed too often. It signs nobody in; the next backend does."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Do nothing, or stop the attempt.

        Without a request (a command, a test's client) there is no address to count by.

        Raises:
            AxesBackendPermissionDenied: this name is locked out at this address.
        """
        if request is not None:
            super().authenticate(request, **credentials)


class SignIn(LoginView):
    """Name and password; then on to the page that was asked for, if it is one of this site."""

    redirect_authenticated_user = True


def signed_in(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For people who are signed in; the others sign in first and then come back.

    A part of a page that is fetched by htmx cannot show the sign-in form: the whole page goes.
    """
    guarded = login_required(view)

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if getattr(request, "htmx", False) and not request.user.is_authenticated:
            return HttpResponseClientRedirect(resolve_url("login"))
        return guarded(request, *args, **kwargs)

    return wrapped
