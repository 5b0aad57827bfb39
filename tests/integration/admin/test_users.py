"""Users: kept under their jobs, and out of reach of those with fewer rights."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import ApiToken, Job

LIST = "/admin/auth/user/"


def test_a_user_with_jobs_is_not_deleted(
    page: Client, customer: User, make_job: Callable[..., Job]
) -> None:
    make_job()
    address = f"{LIST}{customer.pk}/delete/"
    asked = page.get(address)
    assert asked.status_code == 200
    assert "customer has jobs" in asked.text
    assert page.post(address, {"post": "yes"}).status_code == 200
    assert User.objects.filter(pk=customer.pk).exists()


def test_a_user_with_jobs_is_not_deleted_from_the_list_either(
    page: Client, customer: User, make_job: Callable[..., Job]
) -> None:
    make_job()
    data = {"action": "delete_selected", "_selected_action": [customer.pk], "post": "yes"}
    answer = page.post(LIST, data)
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


def test_staff_reaches_no_superuser_and_makes_none(
    staff: Callable[..., Client], boss: User, customer: User
) -> None:
    page = staff("view_user", "change_user", "delete_user")
    assert page.post(f"{LIST}{boss.pk}/password/", {}).status_code == 403
    assert page.post(f"{LIST}{boss.pk}/change/", {"username": "x"}).status_code == 403
    assert page.post(f"{LIST}{boss.pk}/delete/", {"post": "yes"}).status_code == 403
    data = {
        "username": "customer",
        "is_superuser": "on",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    assert page.post(f"{LIST}{customer.pk}/change/", data).status_code == 302
    customer.refresh_from_db()
    assert not customer.is_superuser


def test_a_user_is_signed_out_everywhere_by_staff_who_may_reach_them(
    staff: Callable[..., Client], page: Client, customer: User, boss: User
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


def test_staff_sets_no_password_and_makes_no_staff(
    staff: Callable[..., Client], customer: User
) -> None:
    page = staff("view_user", "change_user", "add_user")
    before = customer.password
    sent = {"password1": "battery staple 42", "password2": "battery staple 42"}
    assert page.post(f"{LIST}{customer.pk}/password/", sent).status_code == 403
    data = {
        "username": "customer", "is_staff": "on", "is_active": "on",
        "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
    }  # fmt: skip
    assert page.post(f"{LIST}{customer.pk}/change/", data).status_code == 302
    customer.refresh_from_db()
    assert (customer.password, customer.is_staff) == (before, False)
