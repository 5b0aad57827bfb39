"""API tokens: shown once, kept as a digest, revoked by whoever may."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import ApiToken
from aifeature.models.token import digest

LIST = "/admin/aifeature/apitoken/"
YES = {"_form_submitted": "on"}


def revoked_at(token: ApiToken) -> datetime | None:
    return ApiToken.objects.get(pk=token.pk).revoked_at


def test_a_token_is_shown_once_and_kept_as_a_digest(
    staff: Callable[..., Client], customer: User
) -> None:
    page = staff("view_apitoken", "add_apitoken")
    made = page.post(f"{LIST}add/", {"user": customer.pk, "name": "ci"}, follow=True)
    found = re.findall(r"aif_[\w-]{43}", made.text)
    assert len(found) == 1
    row = ApiToken.objects.get()
    assert (row.user, row.name, row.digest) == (customer, "ci", digest(found[0]))
    again = page.get(LIST).text + page.get(f"{LIST}{row.pk}/change/").text
    assert found[0] not in again
    assert row.digest not in again
    assert row.hint in again


def test_only_a_superuser_issues_a_token_for_a_superuser(
    staff: Callable[..., Client], page: Client, boss: User
) -> None:
    form = {"user": boss.pk, "name": "mine now"}
    refused = staff("view_apitoken", "add_apitoken", "view_user").post(f"{LIST}add/", form)
    assert refused.status_code == 200
    assert not ApiToken.objects.exists()
    page.post(f"{LIST}add/", form)
    assert ApiToken.objects.get().user == boss


def test_a_token_is_revoked_after_a_confirmation(
    staff: Callable[..., Client], customer: User
) -> None:
    token, _ = ApiToken.issue(user_id=customer.pk, name="ci")
    page = staff("view_apitoken", "change_apitoken")
    address = f"{LIST}{token.pk}/revoke/"
    assert "Revoke this token?" in page.get(address).text
    assert revoked_at(token) is None
    assert page.post(address, YES)["HX-Redirect"] == LIST
    first = revoked_at(token)
    assert first is not None
    page.post(address, YES)
    assert revoked_at(token) == first


def test_revoking_needs_the_permission(staff: Callable[..., Client], customer: User) -> None:
    token, _ = ApiToken.issue(user_id=customer.pk, name="ci")
    page = staff("view_apitoken", "add_apitoken")
    assert page.post(f"{LIST}{token.pk}/revoke/", YES).status_code == 403
    assert revoked_at(token) is None


def test_revoking_what_is_not_there_is_not_found(page: Client) -> None:
    assert page.post(f"{LIST}12345/revoke/", YES).status_code == 404
