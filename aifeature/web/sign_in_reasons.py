"""The address of the sign-in page, and the reason that it shows."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.http import QueryDict
from django.urls import reverse

if TYPE_CHECKING:
    from django.http import HttpRequest

_REASON: Final = "why"

PAGES: Final = {
    "feature": "feature",
    "cancel": "job",
    "rate": "job",
    "nps": "job",
    "note_signal": "job",
    "join_beta": "beta",
    "leave_beta": "beta",
    "change_password": "account",
    "end_session": "account",
    "sign_out_everywhere": "account",
    "make_token": "account",
    "revoke_token": "account",
}
"""By URL name of a form's target, the URL name of the page with the form."""

_NAMED_BY: Final = {"feature": ("slug",), "job": ("job_id",)}
"""By URL name of a page, the arguments of its address."""


class Reason(StrEnum):
    """Why a visitor must sign in, as a parameter of the sign-in page."""

    ENDED = "ended"
    UNSENT = "unsent"


UNSENT: Final = (
    "Your session has ended, so nothing was sent. Please sign in again and then send it again."
)
_SENTENCES: Final = {
    Reason.ENDED: "Your session has ended. Please sign in again to continue.",
    Reason.UNSENT: UNSENT,
}
_SIGNED_OUT: Final = "Please sign in to open this page."


def sign_in_address(request: HttpRequest) -> str:
    """Return the address of the sign-in page, with the page to open afterwards and the reason.

    A form is not sent again after the sign-in. The page with the form is shown instead.
    """
    query = QueryDict(mutable=True)
    if to := page_of(request):
        query["next"] = to
    if request.method not in {"GET", "HEAD"}:
        query[_REASON] = Reason.UNSENT
    elif settings.SESSION_COOKIE_NAME in request.COOKIES:
        query[_REASON] = Reason.ENDED
    address = reverse("login")
    return f"{address}?{query.urlencode(safe='/')}" if query else address


def is_form(request: HttpRequest) -> bool:
    """Return whether the request sends a form of a page that requires a sign-in."""
    return _name(request) in PAGES and request.method == "POST"


def sentence(request: HttpRequest, to: str) -> str:
    """Return why this visitor must sign in; empty if the visitor opened the sign-in page directly.

    Args:
        request: For the sign-in page.
        to: The page to open after the sign-in; empty if none was requested.
    """
    try:
        return _SENTENCES[Reason(request.GET.get(_REASON, ""))]
    except ValueError:
        return _SIGNED_OUT if to not in {"", "/"} else ""


def page_of(request: HttpRequest) -> str:
    """Return the page to open after the sign-in; empty for the start page."""
    htmx: Any = getattr(request, "htmx", None)
    if htmx:
        try:
            return str(htmx.current_url_abs_path or "")
        except ValueError:  # the header is not an address
            return ""
    match = request.resolver_match
    if match is None or request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    page = PAGES.get(_name(request))
    if page is None:  # a form of the project's own pages
        return ""
    return reverse(page, kwargs={name: match.kwargs[name] for name in _NAMED_BY.get(page, ())})


def _name(request: HttpRequest) -> str:
    match = request.resolver_match
    return (match.url_name or "") if match else ""
