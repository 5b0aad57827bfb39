"""Carries what was typed through the sign-in, for browsers without scripts.

The form of a feature names its user in a signed field that only such browsers send. When its
session has ended, the sign-in page holds what was sent in one signed and hidden field, and hands it
on if that very user signs in. So no other user is handed a text, and no other site can plant one.
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
"""The field of a feature's form that names its user."""

FIELD: Final = "carried"
"""The field of the sign-in page. Records of failed sign-ins leave it out, see the settings."""

_MOST_AGE_S: Final = 86_400
"""Of what the sign-in page holds."""


def typist(user: User) -> str:
    """Return the value of the field that names the user of a form."""
    return signing.dumps(user.pk, salt=TYPIST)


def pack(request: HttpRequest) -> str:
    """Return what a form without a session sent, for the field of the sign-in page.

    Empty if a browser with scripts sent it, which keeps it by itself, or if it is not our form.
    """
    user_id = (
        _loads(request.POST.get(TYPIST, ""), salt=TYPIST) if request.method == "POST" else None
    )
    if user_id is None:
        return ""
    typed = [each for each in request.POST.lists() if each[0].startswith(f"{PREFIX}-")]
    return signing.dumps([user_id, typed], salt=FIELD, compress=True)


def packed(request: HttpRequest) -> str:
    """Return what a form hands on in its hidden field; empty if there is none of ours."""
    text = request.POST.get(FIELD, "") if request.method == "POST" else ""
    return text if _loads(text, salt=FIELD) is not None else ""


def is_by(text: str, user: User) -> bool:
    """Return whether what is carried was typed by this user."""
    found = _loads(text, salt=FIELD)
    return found is not None and found[0] == user.pk


def leads_to_form(path: str) -> bool:
    """Return whether the page of this address can show what is carried."""
    try:
        return resolve(path).url_name == "feature"
    except Resolver404:
        return False


def typed(text: str, make: type[SchemaForm]) -> dict[str, Any]:
    """Return what was typed, as initial values of the form."""
    data = MultiValueDict(_loads(text, salt=FIELD)[1])
    return {
        name: field.widget.value_from_datadict(data, {}, f"{PREFIX}-{name}")
        for name, field in make.base_fields.items()
    }


def _loads(text: str, *, salt: str) -> Any:
    # A form may be open for as long as the session that it was made in.
    max_age = settings.SESSION_COOKIE_AGE if salt == TYPIST else _MOST_AGE_S
    try:
        return signing.loads(text, salt=salt, max_age=max_age)
    except signing.BadSignature:
        return None
