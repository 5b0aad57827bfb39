"""Carries form values through the sign-in, for browsers without JavaScript.

A feature's form has a signed field with its user's id, which only such browsers send. If the
session has ended, the sign-in page keeps the values in one signed hidden field. They are shown
again if the same user signs in, so no other user sees them and no other site can inject any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core import signing
from django.urls import Resolver404, resolve
from django.utils.datastructures import MultiValueDict

from aifeature.web.schema_form import PREFIX, SchemaForm

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest

TYPIST: Final = "typist"
"""The field of a feature's form with its user."""

FIELD: Final = "carried"
"""The field of the sign-in page. The settings keep it out of the records of failed sign-ins."""

_MOST_AGE_S: Final = 86_400
"""Maximum age of the values in the sign-in page."""


def typist(user: User) -> str:
    return signing.dumps(user.pk, salt=TYPIST)


def pack(request: HttpRequest) -> str:
    """Return the values of a form that was sent without a session, for the sign-in page.

    Empty if the form is not ours, or if the browser runs scripts: drafts.js keeps the values then.
    """
    user_id = (
        _loads(request.POST.get(TYPIST, ""), salt=TYPIST) if request.method == "POST" else None
    )
    if user_id is None:
        return ""
    typed = [each for each in request.POST.lists() if each[0].startswith(f"{PREFIX}-")]
    return signing.dumps([user_id, typed], salt=FIELD, compress=True)


def packed(request: HttpRequest) -> str:
    """Return the carried values in a form's hidden field; empty if it has none from us."""
    text = request.POST.get(FIELD, "") if request.method == "POST" else ""
    return text if _loads(text, salt=FIELD) is not None else ""


def is_by(text: str, user: User) -> bool:
    """Return whether this user entered the carried values."""
    found = _loads(text, salt=FIELD)
    return found is not None and found[0] == user.pk


def leads_to_form(path: str) -> bool:
    """Return whether the page at this address can show carried values."""
    try:
        return resolve(path).url_name == "feature"
    except Resolver404:
        return False


def typed(text: str, make: type[SchemaForm]) -> dict[str, Any]:
    """Return the carried values as initial values of the form."""
    data = MultiValueDict(_loads(text, salt=FIELD)[1])
    return {
        name: field.widget.value_from_datadict(data, {}, f"{PREFIX}-{name}")
        for name, field in make.base_fields.items()
    }


def _loads(text: str, *, salt: str) -> Any:
    # A form may stay open for as long as its session.
    max_age = settings.SESSION_COOKIE_AGE if salt == TYPIST else _MOST_AGE_S
    try:
        return signing.loads(text, salt=salt, max_age=max_age)
    except signing.BadSignature:
        return None
