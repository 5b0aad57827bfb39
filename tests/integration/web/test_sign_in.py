"""Signing in and out, and the lock after too many failures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.utils import timezone

from aifeature.models import SignInCount
from aifeature.services.sign_in import failures, limits

LOGIN = "/accounts/login/"


def sign_in(client: Client, **fields: str) -> Any:
    return client.post(LOGIN, {"username": "carol", "password": "correct horse", **fields})


def fail(client: Client, times: int = 5, **fields: str) -> Any:
    for _ in range(times):
        response = sign_in(client, **{"password": "wrong", **fields})
    return response


def test_the_start_page_is_for_people_who_signed_in(client: Client, carol: User) -> None:
    response = client.get("/")
    assert (response.status_code, response["Location"]) == (302, f"{LOGIN}?next=/")
    assert client.get(response["Location"]).status_code == 200
    assert sign_in(client, next="/")["Location"] == "/"
    assert client.get("/").status_code == 200


def test_signing_out_takes_a_post(client: Client, carol: User) -> None:
    client.force_login(carol)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.get("/").status_code == 200
    assert client.post("/accounts/logout/")["Location"] == "/accounts/signed-out/"
    assert "You are signed out." in client.get("/accounts/signed-out/").text
    assert client.get("/").status_code == 302


def test_a_wrong_password_is_refused(client: Client, carol: User) -> None:
    response = fail(client, 1)
    assert response.status_code == 200
    assert 'role="alert"' in response.text
    assert client.get("/").status_code == 302


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", r"\\evil.example", "javascript:alert(1)"]
)
def test_a_sign_in_never_leads_to_another_site(client: Client, carol: User, target: str) -> None:
    assert sign_in(client, next=target)["Location"] == "/"


def test_five_failures_close_it_for_this_name_at_this_address(client: Client, carol: User) -> None:
    assert fail(client, 4).status_code == 200
    closed = fail(client, 1)
    assert closed.status_code == 429
    assert closed["Retry-After"] == "900"
    assert "Too many attempts" in closed.text
    assert sign_in(client).status_code == 429, "the right password does not open it"
    assert client.get("/").status_code == 302

    User.objects.create_user("dora", password="correct horse")
    assert sign_in(client, username="dora").status_code == 302, "another name is not locked"
    other = Client(REMOTE_ADDR="192.0.2.7")
    assert sign_in(other).status_code == 302, "nor is the same name at another address"


def test_it_opens_again_by_itself(client: Client, carol: User) -> None:
    fail(client)
    sign_in(client)  # a further try does not extend the wait
    past = timezone.now() - timedelta(minutes=15, seconds=1)
    AccessAttempt.objects.update(attempt_time=past)
    SignInCount.objects.update(until=timezone.now())
    assert sign_in(client).status_code == 302


def test_success_forgets_the_failures(client: Client, carol: User) -> None:
    fail(client, 4)
    assert sign_in(client).status_code == 302
    client.logout()
    assert fail(client, 4).status_code == 200


def test_admin_has_the_same_door(client: Client, carol: User) -> None:
    for _ in range(5):
        response = client.post("/admin/login/", {"username": "carol", "password": "wrong"})
    assert response.status_code == 429
    assert sign_in(client).status_code == 429


def test_it_closes_behind_asgi_too(db: None) -> None:
    async def last_status() -> int:
        client = AsyncClient()
        for _ in range(5):
            response = await client.post(LOGIN, {"username": "carol", "password": "wrong"})
        return response.status_code

    assert async_to_sync(last_status)() == 429


def test_no_password_is_kept_of_a_failure(client: Client, carol: User) -> None:
    fail(client, 1, password="hunter2 secret")
    attempt = AccessAttempt.objects.get()
    assert "hunter2" not in f"{attempt.post_data} {attempt.get_data}"


def test_no_typed_name_is_kept_but_its_failures_are_found(client: Client, carol: User) -> None:
    fail(client, 2, username="Anna@postkontor.example", next="/jobs/?q=Anna@postkontor.example")
    fail(client, 2)
    assert "anna" not in str(list(AccessAttempt.objects.values())).lower()
    assert AccessAttempt.objects.filter(failures.of_name("anna@postkontor.example")).count() == 1
    assert limits.forget("CAROL") > 0
    assert AccessAttempt.objects.get().failures_since_start == 2


def test_a_client_may_sign_in_without_a_request(client: Client, carol: User) -> None:
    assert client.login(username="carol", password="correct horse")
    assert not client.login(username="carol", password="wrong")
