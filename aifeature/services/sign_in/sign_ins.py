"""Who is signed in where, and the end of that: sessions of browsers, and API tokens.

Django's table of sessions does not name its users. `SignIn` does, for sessions that began since it
exists; older ones are found by a look into each session of the site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.db import DatabaseError, transaction
from django.db.models.functions import Now
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from aifeature.models import ApiToken, SignIn

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_CHUNK: Final = 500

_BROWSERS: Final = (
    ("Edge", r"Edg(e|A|iOS)?/"),
    ("Opera", r"OPR/"),
    ("Firefox", r"(Firefox|FxiOS)/"),
    ("Chrome", r"(Chrome|CriOS)/"),
    ("Safari", r"Safari/"),
)
_SYSTEMS: Final = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("Windows", r"Windows"),
    ("macOS", r"Mac OS X"),
    ("Linux", r"Linux"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A session as its user sees it."""

    number: str
    """Names it on the page: a digest, since its key would let anybody in who sees the page."""

    browser: str
    since: datetime
    is_this: bool


def browser_of(user_agent: str) -> str:
    """Return a few words for a User-Agent header, such as `Firefox on Linux`; never its text."""
    name = next((name for name, has in _BROWSERS if re.search(has, user_agent)), "A browser")
    system = next((name for name, has in _SYSTEMS if re.search(has, user_agent)), "")
    return f"{name} on {system}" if system else name


@receiver(user_logged_in, dispatch_uid="aifeature.sign_ins")
def note(request: HttpRequest | None, user: User, **_: Any) -> None:
    """Remember whose session this is. What fails here keeps nobody from signing in.

    Call it also where a session gets another key.
    """
    session = getattr(request, "session", None)
    if request is None or session is None:
        return
    browser = browser_of(request.headers.get("User-Agent", ""))
    try:
        with transaction.atomic():
            if session.session_key is None:  # somebody else's was flushed: it has no key until now
                session.save()
            SignIn.objects.exclude(
                session_key__in=Session.objects.filter(expire_date__gt=Now()).values("pk")
            ).filter(user=user).delete()
            SignIn.objects.update_or_create(
                session_key=session.session_key, defaults={"user": user, "browser": browser}
            )
    except DatabaseError:  # a full disk: what only reads still works
        return


def shown(user: User, *, this: str | None) -> list[Shown]:
    """Return the user's sessions that are valid, newest first; `this` is the present one's key."""
    valid = Session.objects.filter(expire_date__gt=Now()).values("pk")
    return [
        Shown(_number(row.session_key), row.browser, row.created_at, row.session_key == this)
        for row in SignIn.objects.filter(user=user, session_key__in=valid)
    ]


def of(user: User) -> Iterator[Session]:
    """Yield the user's sessions. Each one of the site is looked into."""
    for session in Session.objects.iterator(chunk_size=_CHUNK):
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            yield session


def end(user: User, number: str) -> bool:
    """End one session of this user, by its number. Return whether there was such a one."""
    keys = SignIn.objects.filter(user=user).values_list("pk", flat=True)
    found = [key for key in keys if _number(key) == number]
    _delete(found)
    return bool(found)


def end_others(user: User, *, keep: str | None) -> None:
    """End the user's sessions but one, whose key is `keep`."""
    _delete(SignIn.objects.filter(user=user).exclude(pk=keep).values_list("pk", flat=True))


def _delete(keys: Iterable[str]) -> None:
    keys = list(keys)
    with transaction.atomic():
        Session.objects.filter(pk__in=keys).delete()
        SignIn.objects.filter(pk__in=keys).delete()


def _number(key: str) -> str:
    return salted_hmac("aifeature.sign_ins", key).hexdigest()[:20]


def end_all(user: User) -> int:
    """Sign the user out everywhere: every session ends, every API token is revoked.

    Returns how many tokens were revoked.
    """
    with transaction.atomic():
        known = SignIn.objects.filter(user=user).values_list("pk", flat=True)
        _delete({*known, *(row.pk for row in of(user))})
        return ApiToken.objects.filter(user=user).revoke()


class TokensEndWithThePassword:
    """A password validator that refuses nothing: a new password revokes the user's API tokens.

    Django calls it however a password is set: on a page, in admin, by a command or in a shell, and
    not when a hash is merely computed anew. Sessions end by their own hash of the password.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """Accept every password."""

    def get_help_text(self) -> str:
        """Return what the person should know before they choose one."""
        return "A new password signs you out elsewhere and revokes your API tokens."

    def password_changed(self, password: str, user: User | None = None) -> None:  # noqa: ARG002
        """Revoke the tokens of a user whose new password has just been stored."""
        if user is not None and user.pk is not None:
            ApiToken.objects.filter(user_id=user.pk).revoke()
