"""Authentication by a bearer token or the session cookie of the web pages."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from django.conf import settings
from django.db import OperationalError
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from ninja.errors import AuthenticationError
from ninja.security import HttpBearer
from ninja.security.apikey import APIKeyCookie
from ninja.security.session import SessionAuth
from ninja.utils import check_csrf

from aifeature.api import scope, visitors
from aifeature.api.refusals import CsrfFailed
from aifeature.models import ApiToken
from aifeature.models.lookup import Lookup, Parameter
from aifeature.models.token import PREFIX, digest

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

_VALID: Final = Lookup(
    lambda: ApiToken.objects.valid().filter(digest=Parameter("digest")), related="user"
)

USE_NOTED_EVERY: Final = timedelta(minutes=1)
"""Precision of `last_used_at`. A write on each request would be too expensive."""


class BearerToken(HttpBearer):
    """`Authorization: Bearer aif_...`. If the header is present, the session is ignored."""

    openapi_description = "A token created on your account page, or by `manage.py create_token`."

    def __call__(self, request: HttpRequest) -> User | None:
        """Return the token's user, or None if no Authorization header was sent.

        Raises:
            AuthenticationError: the header has no valid token.
            RateLimited: the user has too many requests in progress.
            OutOfScope: the token is read-only, and the method is not.
        """
        if not request.headers.get(self.header):
            return None
        user = super().__call__(request)
        if user is None:
            visitors.forget()
            raise AuthenticationError
        visitors.recognise(user.pk)
        return cast("User", user)

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        if not token.startswith(PREFIX):
            return None
        row = _VALID.find(digest=digest(token))
        if row is None:
            return None
        _note_use(row)
        scope.limit(request, row)
        return row.user


class SessionCookie(SessionAuth):
    """The session of the web pages. Unsafe methods also need the CSRF token."""

    openapi_description = "Sent by a signed-in browser. Unsafe methods also need X-CSRFToken."

    def __call__(self, request: HttpRequest) -> User | None:
        """Return the signed-in user, or None.

        Raises:
            CsrfFailed: signed in, but the request may have been forged by another site.
            RateLimited: the user has too many requests in progress.
        """
        if not request.user.is_authenticated:
            visitors.forget()
            return None  # before the CSRF check: an anonymous user gets a 401, not a 403
        if check_csrf(request) is not None:
            raise CsrfFailed(
                f"Send the value of the {settings.CSRF_COOKIE_NAME} cookie in the X-CSRFToken"
                " header, or use a bearer token."
            )
        visitors.recognise(request.user.pk)
        return request.user


def _note_use(row: ApiToken) -> None:
    if row.last_used_at is not None and timezone.now() - row.last_used_at < USE_NOTED_EVERY:
        return
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - USE_NOTED_EVERY)
    try:
        ApiToken.objects.filter(stale, pk=row.pk).update(last_used_at=Now())
    except OperationalError as error:  # a full disk: requests that only read still work
        logger.warning("token %s: last_used_at not updated: %s", row.pk, type(error).__name__)


AUTH: Final[list[HttpBearer | APIKeyCookie]] = [BearerToken(), SessionCookie()]


def user_of(request: HttpRequest) -> User:
    return cast("User", cast("Any", request).auth)
