"""Users with jobs are not deleted, and staff cannot change users with more rights."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import ApiToken
from tests.integration.admin.conftest import MakeJob, Staff

LIST = "/admin/auth/user/"
CUSTOMER = {
    "username": "customer", "is_active": "on",
    "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
}  # fmt: skip


@pytest.mark.parametrize("from_list", [False, True])
def test_a_user_with_jobs_is_not_deleted(
    page: Client, customer: User, make_job: MakeJob, *, from_list: bool
) -> None:
    make_job()
    assert "customer has jobs" in page.get(f"{LIST}{customer.pk}/delete/").text
    address = LIST if from_list else f"{LIST}{customer.pk}/delete/"
    action = {"action": "delete_selected", "_selected_action": [customer.pk]} if from_list else {}
    answer = page.post(address, {**action, "post": "yes"})
    assert answer.status_code == 200
    assert "customer has jobs" in answer.text
    assert User.objects.filter(pk=customer.pk).exists()


def test_a_user_with_only_tokens_is_deleted_with_them(page: Client, customer: User) -> None:
    ApiToken.issue(user_id=customer.pk, name="ci")
    assert page.post(f"{LIST}{customer.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=customer.pk).exists()
    assert not ApiToken.objects.exists()


def test_a_user_is_added(page: Client) -> None:
    word = "correct-horse-battery"
    data = {"username": "new", "password1": word, "password2": word, "usable_password": "true"}
    assert page.post(f"{LIST}add/", data).status_code == 302
    assert User.objects.get(username="new").check_password(word)


def test_staff_cannot_change_superusers(staff: Staff, boss: User, customer: User) -> None:
    page = staff("view_user", "change_user", "delete_user")
    assert page.post(f"{LIST}{boss.pk}/password/", {}).status_code == 403
    assert page.post(f"{LIST}{boss.pk}/change/", {"username": "x"}).status_code == 403
    assert page.post(f"{LIST}{boss.pk}/delete/", {"post": "yes"}).status_code == 403
    data = {**CUSTOMER, "is_superuser": "on"}
    assert page.post(f"{LIST}{customer.pk}/change/", data).status_code == 302
    customer.refresh_from_db()
    assert not customer.is_superuser


def test_staff_signs_users_out_everywhere(
    staff: Staff, page: Client, customer: User, boss: User
) -> None:
    clients = {}
    for user in (customer, boss):
        ApiToken.issue(user_id=user.pk, name="ci")
        clients[user.pk] = Client()
        clients[user.pk].force_login(user)
    helper = staff("change_user")
    sent = {"_form_submitted": "on"}
    answer = helper.post(f"{LIST}{customer.pk}/sign_out/", sent)
    assert answer["HX-Redirect"] == f"{LIST}{customer.pk}/change/"
    assert not clients[customer.pk].session.get("_auth_user_id")
    assert helper.post(f"{LIST}{boss.pk}/sign_out/", sent).status_code == 403
    assert clients[boss.pk].session.get("_auth_user_id")
    assert ApiToken.objects.filter(revoked_at=None).get().user == boss
    assert staff("view_user").post(f"{LIST}{customer.pk}/sign_out/", sent).status_code == 403


def test_staff_sets_no_password(staff: Staff, customer: User) -> None:
    page = staff("view_user", "change_user", "add_user")
    before = customer.password
    sent = {"password1": "battery staple 42", "password2": "battery staple 42"}
    assert page.post(f"{LIST}{customer.pk}/password/", sent).status_code == 403
    data = {**CUSTOMER, "is_staff": "on"}
    assert page.post(f"{LIST}{customer.pk}/change/", data).status_code == 302
    customer.refresh_from_db()
    assert (customer.password, customer.is_staff) == (before, False)
