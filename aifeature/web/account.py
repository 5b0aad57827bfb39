"""The page on which users manage their password, sessions and API tokens."""

from __future__ import annotations

from typing import Any, Final, cast

from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from aifeature.models import ApiToken
from aifeature.services import controls, jobs
from aifeature.services.sign_in import limits, sign_ins
from aifeature.web import errors
from aifeature.web.account_forms import OwnPasswordForm, TokenForm
from aifeature.web.sign_in import address_of, signed_in

SEE_OTHER: Final = 303

MOST_TOKENS: Final = 20
"""Maximum number of valid tokens that a user may create."""


@never_cache
@require_safe
@signed_in
def account(request: HttpRequest) -> HttpResponse:
    return _page(request)


@never_cache
@require_POST
@sensitive_post_parameters()
@signed_in
def change_password(request: HttpRequest) -> HttpResponse:
    """Set a new password, end other sessions and revoke tokens.

    The form needs the current password. Wrong guesses count as at sign-in.
    """
    user = cast(User, request.user)
    address = address_of(request)
    if wait_s := limits.take(user.get_username(), address):
        request.sign_in_wait_s = wait_s  # type: ignore[attr-defined]
        return errors.locked_out(request)
    form = OwnPasswordForm(user, request.POST)
    if "old_password" not in _checked(form):
        limits.succeeded(user.get_username(), address)
    if not form.is_valid():
        return _page(request, password=form, status=422)
    form.save()
    sign_ins.end_others(user, keep=request.session.session_key)
    update_session_auth_hash(request, user)
    sign_ins.note(request, user)
    messages.success(
        request, "Your password is changed. Other sessions are ended and API tokens are revoked."
    )
    return _back()


@require_POST
@signed_in
def end_session(request: HttpRequest, number: str) -> HttpResponse:
    """End one other session of the user.

    Raises:
        Http404: The user has no such session.
    """
    if not sign_ins.end(cast(User, request.user), number):
        raise Http404
    messages.success(request, "That browser is signed out.")
    return _back()


@require_POST
@signed_in
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    """End every session of the user, including this one, and revoke the user's tokens."""
    sign_ins.end_all(cast(User, request.user))
    logout(request)
    return HttpResponseRedirect(reverse("signed_out"), status=SEE_OTHER)


@never_cache
@require_POST
@signed_in
def make_token(request: HttpRequest) -> HttpResponse:
    """Create a token. Its text is only in this response."""
    user = cast(User, request.user)
    form = TokenForm(request.POST, features=jobs.visible_features(user=user))
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)  # one creation at a time
        if form.is_valid() and _valid(user).count() >= MOST_TOKENS:
            form.add_error("name", f"You have {MOST_TOKENS} valid tokens. Revoke one first.")
        issued = form.is_valid() and ApiToken.issue(user_id=user.pk, **form.scope)
    if not issued:
        return _page(request, token=form, status=422)
    row, text = issued
    return _page(request, made={"name": row.name, "text": text})


@require_POST
@signed_in
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    """Revoke one of the user's tokens.

    Raises:
        Http404: The user has no such token.
    """
    found = ApiToken.objects.filter(user=cast(User, request.user), pk=token_id)
    if not found.exists():
        raise Http404
    found.revoke()
    messages.success(request, "The token is revoked.")
    return _back()


def _page(
    request: HttpRequest,
    *,
    password: OwnPasswordForm | None = None,
    token: TokenForm | None = None,
    made: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    user = cast(User, request.user)
    features = jobs.visible_features(user=user)
    titles = {each.slug: each.title for each in features}
    context = {
        "sessions": sign_ins.shown(user, this=request.session.session_key),
        "tokens": [
            _row(row, titles) for row in ApiToken.objects.filter(user=user, revoked_at=None)
        ],
        "password_form": password or OwnPasswordForm(user),
        "token_form": token or TokenForm(features=features),
        "made": made,
        "throttles": controls.throttles.notices(user.pk, seen=list(titles)),
        "has_password": user.has_usable_password(),
    }
    return render(request, "aifeature/account.html", context, status=status)


def _row(token: ApiToken, titles: dict[str, str]) -> dict[str, Any]:
    slugs = token.features
    scope = "every feature" if slugs is None else ", ".join(titles.get(s, s) for s in slugs)
    access = "Can read, submit and cancel" if token.may_submit else "Can only read"
    return {
        "token": token,
        "scope": f"{access}: {scope}",
        "is_expired": token.expires_at is not None and token.expires_at <= timezone.now(),
    }


def _valid(user: User) -> Any:
    return ApiToken.objects.valid().filter(user=user)


def _checked(form: OwnPasswordForm) -> Any:
    form.is_valid()
    return form.errors


def _back() -> HttpResponse:
    return HttpResponseRedirect(reverse("account"), status=SEE_OTHER)
