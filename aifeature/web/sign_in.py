"""Signing in, and who may not try again for a while."""

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
    """Turns away who failed too often. It signs nobody in; the next backend does."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Count the attempt, or stop it, before its password is checked.

        Without a request (a command, a test's client) there is no address to count by.

        Raises:
            AxesBackendPermissionDenied: too many attempts of this name, at this address, or both.
            django.db.Error: the attempt could not be counted.
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
    """A sign-in with the right password takes its count back."""
    if request is not None and hasattr(request, "axes_updated"):
        limits.succeeded(user.get_username(), address_of(request))


def address_of(request: HttpRequest) -> str:
    """Return the visitor's address, as sign-ins are counted by it; empty if there is none."""
    return get_client_ip_address(request) or ""


class SignInForm(AuthenticationForm):
    """Refuses names that no account can have, before they are counted and stored as failures."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        longest = self.username_field.max_length
        self.fields["username"].validators.append(MaxLengthValidator(longest))


class SignIn(LoginView):
    """Name and password; then on to the page that was asked for, if it is one of this site."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the sentence that says why the visitor must sign in."""
        reason = sign_in_reasons.sentence(self.request, self.get_redirect_url())
        own = {
            "reason": reason,
            "reason_is_unsent": reason == sign_in_reasons.UNSENT,
            "carried": carried.packed(self.request),
        }
        return {**super().get_context_data(**kwargs), **own}

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in, then on; with what is carried if it is of this user."""
        onward = super().form_valid(form)
        to, text = self.get_redirect_url(), carried.packed(self.request)
        if carried.is_by(text, form.get_user()) and carried.leads_to_form(to):
            return render(self.request, "registration/continue.html", {"to": to, "carried": text})
        return onward


def ask(request: HttpRequest) -> HttpResponse:
    """Lead a visitor who is not signed in to the sign-in page.

    A part of a page that is fetched by htmx cannot show it: the whole page goes.
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
    """For people who are signed in; the others sign in first and then come back."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return ask(request)

    return wrapped
