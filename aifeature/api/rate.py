"""Rate limit headers of responses (draft-ietf-httpapi-ratelimit-headers)."""

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
from aifeature.services.jobs.refusals import AccessBlocked, NotFound, Refusal

SUBMISSIONS: Final = "requests"
"""Policy name of a feature's submissions, in both headers."""

ALL_REQUESTS: Final = "site"
"""Policy name of all requests to the site. Sent only with its refusals."""


def set_headers(
    response: HttpResponse, left: RateLimitStatus | None, *, policy: str = SUBMISSIONS
) -> None:
    """Set both headers, or none if the user has no limit."""
    if left is not None:
        response["RateLimit-Policy"] = f'"{policy}";q={left.limit};w={left.window_s}'
        response["RateLimit"] = f'"{policy}";r={left.remaining};t={left.reset_s}'


def refused(request: HttpRequest, slug: str, error: Exception) -> HttpResponse:
    """Return the response to a submission that raised `error`, with the user's remaining rate."""
    response = problems.answer(request, error)
    with suppress(DatabaseError):  # rates are unknown while the database is unavailable
        set_headers(response, left_after(request, slug, problems.refusal_for(error)))
    return response


def left_after(request: HttpRequest, slug: str, refusal: Refusal | None) -> RateLimitStatus | None:
    """Return the user's remaining rate, from the refusal if it has one. Raises django.db.Error."""
    if refusal is not None and refusal.left is not None:
        return refusal.left
    user = user_of(request)
    try:
        return admission.rate_limit_status(jobs.visible_feature(user=user, slug=slug), user.pk)
    except (NotFound, AccessBlocked):
        return None  # a feature that the user may not use has no limits
