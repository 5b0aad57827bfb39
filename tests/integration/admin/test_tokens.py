"""API tokens are shown once, stored as a digest, and revoked with a permission."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import ApiToken
from aifeature.models.token import digest
from tests.integration.admin.conftest import Staff

LIST = "/admin/aifeature/apitoken/"
YES = {"_form_submitted": "on"}


def revoked_at(token: ApiToken) -> datetime | None:
    return ApiToken.objects.get(pk=token.pk).revoked_at


def test_a_token_is_shown_once_and_kept_as_a_digest(page: Client, customer: User) -> None:
    made = page.post(f"{LIST}add/", {"user": customer.pk, "name": "ci"}, follow=True)
    found = re.findall(r"aif_[\w-]{43}", made.text)
    assert len(found) == 1
    row = ApiToken.objects.get()
    assert (row.user, row.name, row.digest) == (customer, "ci", digest(found[0]))
    again = page.get(LIST).text + page.get(f"{LIST}{row.pk}/change/").text
    assert found[0] not in again
    assert row.digest not in again
    assert row.hint in again


def test_only_superusers_issue_tokens_for_others(
    staff: Staff, page: Client, customer: User
) -> None:
    form = {"user": customer.pk, "name": "mine now"}
    own = staff("view_apitoken", "add_apitoken", "view_user")
    assert own.post(f"{LIST}add/", form).status_code == 200
    assert not ApiToken.objects.exists()
    page.post(f"{LIST}add/", form)
    assert ApiToken.objects.get().user == customer
    me = own.session["_auth_user_id"]
    assert own.post(f"{LIST}add/", {"user": me, "name": "my own"}).status_code == 302
    assert ApiToken.objects.filter(user_id=me).count() == 1


def test_a_token_shows_its_scope_and_when_it_ends(page: Client, customer: User) -> None:
    ends = {"expires_at_0": "2031-02-03", "expires_at_1": "04:05:06"}
    page.post(f"{LIST}add/", {"user": customer.pk, "name": "nightly", **ends})
    token = ApiToken.objects.get()
    assert (token.may_submit, str(token.expires_at)) == (False, "2031-02-03 04:05:06+00:00")
    ApiToken.objects.update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert "expired" in page.get(LIST).text


def test_a_token_is_revoked_once(staff: Staff, customer: User) -> None:
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


def test_revoking_needs_a_permission(staff: Staff, customer: User) -> None:
    token, _ = ApiToken.issue(user_id=customer.pk, name="ci")
    page = staff("view_apitoken", "add_apitoken")
    assert page.post(f"{LIST}{token.pk}/revoke/", YES).status_code == 403
    assert revoked_at(token) is None
    assert staff("change_apitoken").post(f"{LIST}12345/revoke/", YES).status_code == 404


def test_tokens_are_filtered_by_what_they_are_good_for(page: Client, customer: User) -> None:
    made = {
        state: ApiToken.issue(user_id=customer.pk, name=f"the-{state}-one", lasts=lasts)[0]
        for state, lasts in (
            ("valid", None),
            ("expired", -timedelta(days=1)),
            ("revoked", timedelta(days=1)),
        )
    }
    ApiToken.objects.filter(pk=made["revoked"].pk).revoke()
    for state in made:
        text = page.get("/admin/aifeature/apitoken/", {"state": state}).text
        assert [other for other in made if f"the-{other}-one" in text] == [state]
