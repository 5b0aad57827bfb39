"""The page of the panel, its live part, and its buttons. Staff only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from aifeature.web.sign_in import signed_in
from project.panel import actions
from project.panel.figures import figures
from project.panel.provider import ProviderAwayError

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@never_cache
@require_safe
@signed_in
def panel(request: HttpRequest) -> HttpResponse:
    """Show the buttons and their effect. With `?part`, only the effect, for the page's script."""
    _staff(request)
    if "part" in request.GET:
        return render(request, "panel/figures.html", figures())
    return render(request, "panel/panel.html", {"actions": actions.ACTIONS, **figures()})


@require_POST
@signed_in
def act(request: HttpRequest, slug: str) -> HttpResponse:
    """Run one action and show the panel again."""
    user = _staff(request)
    action = actions.find(slug)
    if action is None:
        raise Http404
    try:
        messages.success(request, action.run(user))
    except ProviderAwayError as error:
        messages.error(request, str(error))
    return redirect("panel")


def _staff(request: HttpRequest) -> User:
    if not cast("Any", request.user).is_staff:
        raise Http404
    return cast("User", request.user)
