"""Dialogs as pages of their own. A kill switch's page keeps entered values across a sign-in.

Users reach these pages after a sign-in, from a runbook, or without JavaScript.
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
"""Query parameter: the form is shown again because its CSRF token did not match."""

FLIPPED: Final = "aifeature.flipped"
"""Key in `request.META`: the page to open after a flip."""

_FIELDS: Final = ("mode", "percent", "reason")

Button = Callable[..., HttpResponse]


def by_htmx(request: HttpRequest) -> bool:
    """Return whether htmx sent the request and inserts the response into the page."""
    return request.headers.get("HX-Request") == "true"


def also_alone(dialog: Button, title: str) -> Button:
    """Return `dialog`, rendered as a whole page unless htmx sent the request."""

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
    """Return the address of this dialog's page, with the entered values in its query."""
    query = urlencode({**typed(request), **more})
    return f"{request.path}?{query}" if query else request.path


def typed(request: HttpRequest) -> dict[str, str]:
    """Return the entered values, from the form or from a query that `address` made."""
    values = request.POST if request.method == "POST" else request.GET
    return {name: values[name] for name in _FIELDS if name in values}
