"""Scope of a bearer token: whether it is read-only, and its features."""

from __future__ import annotations

from typing import Any, Final, cast

from django.http import HttpRequest

from aifeature.api.refusals import OutOfScope
from aifeature.models import ApiToken

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def limit(request: HttpRequest, token: ApiToken) -> None:
    """Restrict this request to the token's scope. Raises OutOfScope if its method needs more."""
    cast("Any", request).api_token = token
    if request.method not in _READS and not token.may_submit:
        raise OutOfScope("This token is read-only. Use one that may submit jobs.")


def features_of(request: HttpRequest) -> frozenset[str] | None:
    """Return the slugs that the request's token is for; None: all features of its user."""
    token: ApiToken | None = getattr(request, "api_token", None)
    return None if token is None or token.features is None else frozenset(token.features)


def covers(request: HttpRequest, slug: str) -> bool:
    """Return whether the request may access this feature and its jobs."""
    allowed = features_of(request)
    return allowed is None or slug in allowed


def check_feature(request: HttpRequest, slug: str) -> None:
    """Raise OutOfScope if the token is not for this feature."""
    if not covers(request, slug):
        raise OutOfScope("This token is for other features only.")
