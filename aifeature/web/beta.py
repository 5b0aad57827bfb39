"""The page on which users join and leave betas by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from aifeature import registry
from aifeature.services.access import beta
from aifeature.services.access.beta import Offer, Outcome
from aifeature.web.sign_in import signed_in

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SEE_OTHER: Final = 303

_CLOSED: Final = "This feature is not open for joining. Nothing was changed."


@never_cache
@require_safe
@signed_in
def beta_page(request: HttpRequest) -> HttpResponse:
    """Show the betas that this user may join or leave."""
    user = cast("User", request.user)
    context = {"offers": [_row(offer) for offer in beta.offers(user)]}
    return render(request, "aifeature/beta.html", context)


@require_POST
@signed_in
def join(request: HttpRequest, slug: str) -> HttpResponse:
    """Join a beta and return to the page. An unknown feature and a closed beta look the same."""
    outcome = beta.join(slug, cast("User", request.user))
    if outcome == Outcome.JOINED:
        title = registry.get(slug).title
        messages.success(request, f"You have joined. You find “{title}” among your features now.")
    elif outcome == Outcome.FULL:
        messages.warning(request, "All places are taken. Look again later: places become free.")
    else:
        messages.warning(request, _CLOSED)
    return HttpResponseRedirect(reverse("beta"), status=SEE_OTHER)


@require_POST
@signed_in
def leave(request: HttpRequest, slug: str) -> HttpResponse:
    """Leave a beta and return to the page."""
    if beta.leave(slug, cast("User", request.user)):
        messages.success(request, "You have left. Your earlier requests stay in your history.")
    else:
        messages.warning(request, "You are not a member. Nothing was changed.")
    return HttpResponseRedirect(reverse("beta"), status=SEE_OTHER)


def _row(offer: Offer) -> dict[str, Any]:
    return {
        "feature": offer.feature,
        "is_member": offer.is_member,
        "is_full": not offer.places_left,
        "places_left": offer.places_left,
    }
