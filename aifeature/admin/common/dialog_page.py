"""A dialog as a page of its own; that of a kill switch keeps what was typed across a sign-in.

A person lands here after a sign-in, by an address of the runbook, or without JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import urlencode
from django.utils.safestring import mark_safe

OUT_OF_DATE: Final = "out_of_date"
"""Of the query: the form came back since its protection against forgery did not match."""

FLIPPED: Final = "aifeature.flipped"
"""In `request.META`: where to go now that the switch is flipped."""

_FIELDS: Final = ("mode", "percent", "reason")

Button = Callable[..., HttpResponse]


def by_htmx(request: HttpRequest) -> bool:
    """Whether a script of the page sent it, and puts the answer into the page."""
    return request.headers.get("HX-Request") == "true"


def also_alone(dialog: Button, title: str) -> Button:
    """Answer a request that no script sent with a whole page of this title."""

    @wraps(dialog)
    def answer(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        part = dialog(self, request, *args, **kwargs)
        if by_htmx(request):
            return part
        if "HX-Redirect" in part.headers:
            where = part["HX-Redirect"]
            return HttpResponseRedirect(where, headers={"HX-Redirect": where})
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "part": mark_safe(part.content.decode()),  # noqa: S308 (rendered by a template)
            "is_filled": request.method == "GET" and "reason" in request.GET,
            "is_out_of_date": OUT_OF_DATE in request.GET,
        }
        return render(request, "aifeature/admin/switch_page.html", context)

    return answer


def address(request: HttpRequest, **more: str) -> str:
    """The page of this request's dialog, filled in with what the person has typed."""
    query = urlencode({**typed(request), **more})
    return f"{request.path}?{query}" if query else request.path


def typed(request: HttpRequest) -> dict[str, str]:
    """What a person has typed, as sent, or as `address` put it into the query."""
    values = request.POST if request.method == "POST" else request.GET
    return {name: values[name] for name in _FIELDS if name in values}
