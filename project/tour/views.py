"""The page of the tour, its live part, and its two buttons. For every user of the local stack."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from aifeature.web.sign_in import signed_in
from project.panel import provider
from project.tour import progress, steps
from project.tour.step import Step

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SEE_OTHER: Final = 303

NO_CONTENT: Final = 204
"""htmx changes nothing then, so the focus and the place of a screen reader stay."""


@never_cache
@require_safe
@signed_in
def tour(request: HttpRequest) -> HttpResponse:
    """Show the steps. With `?part`, only the live part, or nothing if `seen` is still its state."""
    mine = progress.of(request)
    done = progress.done(mine)
    is_broken = "break" in done and _is_broken()
    state = " ".join([*done, *(["broken"] if is_broken else [])])
    is_part = "part" in request.GET
    if is_part and request.GET.get("seen") == state:
        return HttpResponse(status=NO_CONTENT)
    user = cast("User", request.user)
    left = [step.slug for step in steps.STEPS if step.slug not in done]
    context = {
        "steps": [_row(step, user, done=step.slug in done) for step in steps.STEPS],
        "next": next(iter(left), None),
        "count": len(done),
        "total": len(steps.STEPS),
        "since": mine.since,
        "state": state,
        "is_broken": is_broken,
        "is_part": is_part,
    }
    return render(request, "tour/steps.html" if is_part else "tour/tour.html", context)


@require_POST
@signed_in
def follow(request: HttpRequest, slug: str) -> HttpResponse:
    """Tick a step that is done by opening a page, and open the page."""
    step = steps.find(slug)
    user = cast("User", request.user)
    if step is None or step.is_done is not None or (step.for_staff and not user.is_staff):
        raise Http404
    response = HttpResponseRedirect(step.link(user).url, status=SEE_OTHER)
    progress.keep(response, progress.followed(progress.of(request), slug))
    return response


@require_POST
@signed_in
def again(_request: HttpRequest) -> HttpResponse:
    """Begin the tour again. Earlier rows do not count."""
    response = HttpResponseRedirect(reverse("tour"), status=SEE_OTHER)
    progress.keep(response, progress.again())
    return response


def _row(step: Step, user: User, *, done: bool) -> dict[str, Any]:
    may = user.is_staff or not step.for_staff
    return {
        "step": step,
        "is_done": done,
        "may": may,
        "link": step.link(user) if may else None,
        "is_form": step.is_done is None,
    }


def _is_broken() -> bool:
    """Return whether the sandbox provider has a fault in force."""
    with suppress(provider.ProviderAwayError):
        return bool(provider.faults())
    return False
