"""Tells a client how often it may submit (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse

from aifeature.api import problems
from aifeature.api.auth import user_of
from aifeature.policies.rates import RateLimitStatus
from aifeature.services import jobs
from aifeature.services.jobs import admission
from aifeature.services.jobs.refusals import NotFound, Refusal

SUBMISSIONS: Final = "requests"
"""Names the policy of a feature's submissions in both headers."""

ALL_REQUESTS: Final = "site"
"""Names that of all requests to the site; it is told when it refuses one."""


def tell(
    response: HttpResponse, left: RateLimitStatus | None, *, policy: str = SUBMISSIONS
) -> None:
    """Set both headers; none if nothing limits the user."""
    if left is not None:
        response["RateLimit-Policy"] = f'"{policy}";q={left.limit};w={left.window_s}'
        response["RateLimit"] = f'"{policy}";r={left.remaining};t={left.reset_s}'


def refused(request: HttpRequest, slug: str, error: Exception) -> HttpResponse:
    """The answer to a submission that raised `error`, with what is left to the user."""
    response = problems.answer(request, error)
    with suppress(DatabaseError):  # without it nobody's rate is known
        tell(response, left_after(request, slug, problems.refusal_for(error)))
    return response


def left_after(request: HttpRequest, slug: str, refusal: Refusal | None) -> RateLimitStatus | None:
    """What is left to a user whose submission was not accepted; asked if nobody has yet.

    Raises:
        django.db.Error: the database is away.
    """
    if refusal is not None and refusal.left is not None:
        return refusal.left
    user = user_of(request)
    try:
        return admission.left_of(jobs.visible_feature(user=user, slug=slug), user.pk)
    except NotFound:
        return None  # what does not exist has no limits
