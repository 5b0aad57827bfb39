"""Repeated check that a waiting request is still authorised."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from aifeature.api.auth import user_of
from aifeature.api.fair_threads import give_connections_back
from aifeature.models import ApiToken
from aifeature.models.lookup import Lookup, Parameter

_VALID: Final = Lookup(lambda: ApiToken.objects.valid().filter(pk=Parameter("pk")))

_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="access")
"""Bounded, since a thousand streams may check at the same moment."""


async def holds(request: HttpRequest) -> bool:
    """Return whether the account is open and the request's session or token is still valid.

    Returns True while the database is unavailable: no new data can be read then either.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, holds_now, request)


def holds_now(request: HttpRequest) -> bool:
    """Return the same in a thread, and return its database connection to the pool."""
    token: ApiToken | None = getattr(request, "api_token", None)
    try:
        if token is not None:
            return _VALID.find(pk=token.pk) is not None
        return _session_holds(request)
    except (OperationalError, InterfaceError):
        return True
    finally:
        give_connections_back()


def _session_holds(request: HttpRequest) -> bool:
    people = get_user_model().objects
    user: Any = people.filter(pk=user_of(request).pk, is_active=True).first()
    if user is None:
        return False
    store = import_module(settings.SESSION_ENGINE).SessionStore
    stored = store(request.session.session_key).load()
    if stored.get(SESSION_KEY) != str(user.pk):
        return False
    known = stored.get(HASH_SESSION_KEY, "")
    valid = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(known, each) for each in valid)
