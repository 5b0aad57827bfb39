"""Browser sessions and API tokens of a user, and their end.

Django's session table has no user column. `SignIn` has one, but lacks sessions that are older than
its table. Those are found by decoding every session of the site.
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
    """A session on the account page."""

    number: str
    """Digest of the key. The key itself would let any reader of the page sign in."""

    browser: str
    since: datetime
    is_this: bool


def browser_of(user_agent: str) -> str:
    """Return a short name for a User-Agent header, such as `Firefox on Linux`; never its text."""
    name = next((name for name, has in _BROWSERS if re.search(has, user_agent)), "A browser")
    system = next((name for name, has in _SYSTEMS if re.search(has, user_agent)), "")
    return f"{name} on {system}" if system else name


@receiver(user_logged_in, dispatch_uid="aifeature.sign_ins")
def note(request: HttpRequest | None, user: User, **_: Any) -> None:
    """Record the user of a session. A failure does not prevent the sign-in.

    Call it also when a session gets a new key.
    """
    session = getattr(request, "session", None)
    if request is None or session is None:
        return
    browser = browser_of(request.headers.get("User-Agent", ""))
    try:
        with transaction.atomic():
            if session.session_key is None:  # another user's session was flushed: no key yet
                session.save()
            SignIn.objects.exclude(
                session_key__in=Session.objects.filter(expire_date__gt=Now()).values("pk")
            ).filter(user=user).delete()
            SignIn.objects.update_or_create(
                session_key=session.session_key, defaults={"user": user, "browser": browser}
            )
    except DatabaseError:  # for example a full disk, while reads still work
        return


def shown(user: User, *, this: str | None) -> list[Shown]:
    """Return the user's valid sessions, newest first. `this` is the key of the current one."""
    valid = Session.objects.filter(expire_date__gt=Now()).values("pk")
    return [
        Shown(_number(row.session_key), row.browser, row.created_at, row.session_key == this)
        for row in SignIn.objects.filter(user=user, session_key__in=valid)
    ]


def of(user: User) -> Iterator[Session]:
    """Yield the user's sessions. This decodes every session of the site."""
    for session in Session.objects.iterator(chunk_size=_CHUNK):
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            yield session


def end(user: User, number: str) -> bool:
    """End one session of this user by its number. Return whether it existed."""
    keys = SignIn.objects.filter(user=user).values_list("pk", flat=True)
    matching = [key for key in keys if _number(key) == number]
    _delete(matching)
    return bool(matching)


def end_others(user: User, *, keep: str | None) -> None:
    """End the user's sessions except the one with the key `keep`."""
    _delete(SignIn.objects.filter(user=user).exclude(pk=keep).values_list("pk", flat=True))


def _delete(keys: Iterable[str]) -> None:
    keys = list(keys)
    with transaction.atomic():
        Session.objects.filter(pk__in=keys).delete()
        SignIn.objects.filter(pk__in=keys).delete()


def _number(key: str) -> str:
    return salted_hmac("aifeature.sign_ins", key).hexdigest()[:20]


def end_all(user: User) -> int:
    """End every session and revoke every API token. Return the number of revoked tokens."""
    with transaction.atomic():
        recorded = SignIn.objects.filter(user=user).values_list("pk", flat=True)
        _delete({*recorded, *(row.pk for row in of(user))})
        return ApiToken.objects.filter(user=user).revoke()


class TokensEndWithThePassword:
    """A password validator that accepts every password and revokes API tokens on a change.

    Django calls it wherever a password is set: on a page, in admin, by a command or in a shell. It
    does not call it when it only updates a hash. Sessions hold a hash of the password and end too.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """Accept every password."""

    def get_help_text(self) -> str:
        return "A new password signs you out elsewhere and revokes your API tokens."

    def password_changed(self, password: str, user: User | None = None) -> None:  # noqa: ARG002
        if user is not None and user.pk is not None:
            ApiToken.objects.filter(user_id=user.pk).revoke()
