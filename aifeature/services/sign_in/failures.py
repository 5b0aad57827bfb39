"""Failed sign-ins in the tables of django-axes, without what visitors typed.

Visitors type passwords, addresses and other people's data into the field of the name. So a name is
stored as an HMAC, whether an account has it or not. Nothing else of a form or a query is stored,
and of the headers only the kind of browser. The settings AXES_* name this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.db.models import Q
from django.http import QueryDict
from django.utils.crypto import salted_hmac

from aifeature.services.sign_in.sign_ins import browser_of

if TYPE_CHECKING:
    from django.http import HttpRequest

NAME: Final = "username"
"""The field of the form, and its key among the credentials."""


class Handler(AxesDatabaseHandler):
    """Stores failures as the lockout needs them."""

    def user_login_failed(
        self, sender: Any, credentials: Any, request: Any = None, **more: Any
    ) -> None:
        """Count the failure. The sign-in page reads the request again afterwards."""
        if request is None:
            super().user_login_failed(sender, credentials, request, **more)
            return
        request.axes_user_agent = browser_of(request.axes_user_agent or "")
        request.axes_http_accept = ""
        sent = request.GET, request.POST
        request.GET, request.POST = QueryDict(), QueryDict()
        try:
            super().user_login_failed(sender, credentials, request, **more)
        finally:
            request.GET, request.POST = sent


def stored_name(request: HttpRequest, credentials: dict[str, Any] | None) -> str | None:
    """Return the name of a try as it is stored; None if the try has none. Called by axes."""
    name = credentials.get(NAME) if credentials else request.POST.get(NAME)
    return None if name is None else _digest(str(name))


def of_name(name: str) -> Q:
    """Return the condition for records of a name, in any letter case.

    A record may have a digest under an old SECRET_KEY, or, of an earlier release, the name itself.
    """
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return Q(username__iexact=name) | Q(username__in=[_digest(name, each) for each in secrets])


def _digest(name: str, secret: str | None = None) -> str:
    found = salted_hmac(
        "aifeature.sign_in", name.casefold().encode(errors="surrogatepass"), secret=secret,
        algorithm="sha256",
    )  # fmt: skip
    return f"hmac:{found.hexdigest()}"
