"""Signing in and out, and the start page."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client

LOGIN = "/accounts/login/"


@pytest.fixture
def carol(db: None) -> User:
    return User.objects.create_user("carol", password="correct horse")


def sign_in(client: Client, **fields: str) -> Any:
    return client.post(LOGIN, {"username": "carol", "password": "correct horse", **fields})


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
    assert client.post("/accounts/logout/")["Location"] == LOGIN
    assert client.get("/").status_code == 302


def test_a_wrong_password_is_told_without_saying_which_part(client: Client, carol: User) -> None:
    response = sign_in(client, password="wrong")
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()
    assert client.get("/").status_code == 302


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", r"\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_site(client: Client, carol: User, target: str) -> None:
    assert sign_in(client, next=target)["Location"] == "/"


def test_shows_what_the_user_may_use_and_how(client: Client, carol: User, opened: None) -> None:
    client.force_login(carol)
    page = client.get("/").content.decode()
    assert "http://testserver/api/v1/features/summarize/jobs" in page
    assert "/api/v1/docs" in page
    assert "/admin/" not in page


def test_shows_nothing_that_is_closed(client: Client, carol: User) -> None:
    client.force_login(carol)
    assert "summarize" not in client.get("/").content.decode()


def test_staff_finds_the_way_to_admin(client: Client, carol: User) -> None:
    User.objects.filter(pk=carol.pk).update(is_staff=True)
    client.force_login(carol)
    assert 'href="/admin/"' in client.get("/").content.decode()


@pytest.mark.parametrize("provider", ["sandbox", "anthropic"])
def test_the_sandbox_cannot_be_missed_on_any_page(
    client: Client, carol: User, settings: Any, provider: str
) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "PROVIDER": provider}
    pages = [client.get(LOGIN)]
    client.force_login(carol)
    pages.append(client.get("/"))
    for page in pages:
        assert ('class="sandbox"' in page.content.decode()) == (provider == "sandbox")


def test_pages_have_no_script_and_load_nothing_from_elsewhere(
    client: Client, carol: User, opened: None
) -> None:
    pages = [client.get(LOGIN)]
    client.force_login(carol)
    pages.append(client.get("/"))
    for page in pages:
        text = page.content.decode()
        assert "<script" not in text
        assert "//" not in text.replace("http://testserver", "")
    assert finders.find("aifeature/site.css")
