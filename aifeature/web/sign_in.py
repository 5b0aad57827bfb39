"""Sign-in and its rate limits."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from axes.backends import AxesStandaloneBackend
from axes.exceptions import AxesBackendPermissionDenied
from axes.helpers import get_client_ip_address
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import LoginView
from django.core.validators import MaxLengthValidator
from django.dispatch import receiver
from django.http import HttpResponseRedirect
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django_htmx.http import HttpResponseClientRedirect

from aifeature.services.sign_in import limits
from aifeature.web import carried, sign_in_reasons

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User
    from django.http import HttpRequest, HttpResponse


class Throttle(AxesStandaloneBackend):
    """Rejects a sign-in after too many failures. The next backend checks the password."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Count the attempt, or reject it, before its password is checked.

        Without a request (a command, a test's client) there is no address, so nothing is counted.

        Raises:
            AxesBackendPermissionDenied: Too many attempts by name, address or both.
            django.db.Error: The attempt could not be counted.
        """
        if request is None:
            return
        super().authenticate(request, **credentials)
        name = str(credentials.get("username") or "")
        if wait_s := limits.take(name, address_of(request)):
            request.axes_locked_out = True  # type: ignore[attr-defined]
            request.sign_in_wait_s = wait_s  # type: ignore[attr-defined]
            raise AxesBackendPermissionDenied("too many attempts to sign in")


@receiver(user_logged_in, dispatch_uid="aifeature.sign_in_limits")
def forget_failures(request: HttpRequest | None, user: User, **_: Any) -> None:
    """Take back the count of a successful sign-in."""
    if request is not None and hasattr(request, "axes_updated"):
        limits.succeeded(user.get_username(), address_of(request))


def address_of(request: HttpRequest) -> str:
    """Return the visitor's address by which sign-ins are counted; empty if there is none."""
    return get_client_ip_address(request) or ""


class SignInForm(AuthenticationForm):
    """Rejects names that are too long for an account before they are counted and stored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        longest = self.username_field.max_length
        self.fields["username"].validators.append(MaxLengthValidator(longest))


class SignIn(LoginView):
    """Sign-in with name and password, then a redirect to the requested page of this site."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add why the visitor must sign in."""
        reason = sign_in_reasons.sentence(self.request, self.get_redirect_url())
        own = {
            "reason": reason,
            "reason_is_unsent": reason == sign_in_reasons.UNSENT,
            "carried": carried.packed(self.request),
        }
        return {**super().get_context_data(**kwargs), **own}

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in, then redirect, or hand on values that this user entered before."""
        response = super().form_valid(form)
        to, text = self.get_redirect_url(), carried.packed(self.request)
        if carried.is_by(text, form.get_user()) and carried.leads_to_form(to):
            return render(self.request, "registration/continue.html", {"to": to, "carried": text})
        return response


def ask(request: HttpRequest) -> HttpResponse:
    """Send a visitor who is not signed in to the sign-in page.

    A part of a page that htmx loads cannot show it, so the whole page is redirected.
    """
    address = sign_in_reasons.sign_in_address(request)
    if getattr(request, "htmx", False):
        return HttpResponseClientRedirect(address)
    if not (text := carried.pack(request)):
        return HttpResponseRedirect(address)
    values = {
        "form": SignInForm(request),
        "action": address,
        "next": sign_in_reasons.page_of(request),
        "reason": sign_in_reasons.UNSENT,
        "carried": text,
    }
    response = render(request, "registration/login.html", values)
    add_never_cache_headers(response)
    return response


def signed_in(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Require a signed-in user. Other visitors sign in first and then return to the page."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return ask(request)

    return wrapped
