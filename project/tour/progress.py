"""When a visitor's tour began, and what is done of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.db.models import Min
from django.http import HttpRequest, HttpResponse

from aifeature.models import DemoData
from aifeature.models.functions import database_now
from project.tour.steps import STEPS

COOKIE: Final = f"tour{settings.SESSION_COOKIE_NAME.removeprefix('sessionid')}"
"""Not the session: it ends when the visitor switches between the two sign-ins of the tour."""

PATH: Final = "/tour/"
_SALT: Final = "project.tour"
_KEPT_S: Final = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Tour:
    """The tour of one visitor."""

    since: datetime
    followed: frozenset[str] = frozenset()
    """Slugs of steps whose link was followed, if that completes them."""


def of(request: HttpRequest) -> Tour:
    """Return the visitor's tour. A cookie of another database, or a forged one, is ignored."""
    begun = _begun()
    try:
        found = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_KEPT_S)
        own = Tour(datetime.fromisoformat(found["since"]), frozenset(found["followed"]))
    except (signing.BadSignature, ValueError, TypeError, KeyError):
        return Tour(begun)
    return own if own.since >= begun else Tour(begun)


def again() -> Tour:
    """Return a tour that begins now."""
    return Tour(database_now())


def followed(tour: Tour, slug: str) -> Tour:
    return replace(tour, followed=tour.followed | {slug})


def keep(response: HttpResponse, tour: Tour) -> None:
    """Store the tour in the visitor's browser."""
    value = {"since": tour.since.isoformat(), "followed": sorted(tour.followed)}
    response.set_cookie(
        COOKIE,
        signing.dumps(value, salt=_SALT),
        max_age=_KEPT_S,
        path=PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def done(tour: Tour) -> Collection[str]:
    """Return the slugs of the steps that are done, in order."""
    return [
        step.slug
        for step in STEPS
        if (step.is_done(tour.since) if step.is_done else step.slug in tour.followed)
    ]


def _begun() -> datetime:
    """Return when the demo data were loaded, else when the stack made its staff user."""
    if demo := DemoData.objects.first():
        return demo.ended_loading_at or demo.loaded_at
    first = get_user_model().objects.filter(is_staff=True).aggregate(at=Min("date_joined"))["at"]
    return first or database_now()
