"""The users of the local stack, and the token that it prints."""

from __future__ import annotations

import secrets

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from aifeature.models import ApiToken
from aifeature.services.controls import effective

TOKEN = f"aif_{secrets.token_urlsafe(32)}"


@pytest.fixture(autouse=True)
def _local_stack(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_STACK", "1")
    monkeypatch.setenv("DEMO_PASSWORDS", "staff:correct-horse-1,ada:correct-horse-2")
    monkeypatch.setenv("DEMO_TOKEN", f"ada:{TOKEN}")
    effective.cache.clear()


def status() -> int:
    answer = Client().get("/api/v1/features", headers={"Authorization": f"Bearer {TOKEN}"})
    return answer.status_code


def test_the_printed_token_is_good_after_each_start() -> None:
    assert status() == 401
    for _ in range(2):
        call_command("demo_users")
        assert status() == 200
        assert ApiToken.objects.get().user == User.objects.get(username="ada")
    ApiToken.objects.all().revoke()
    assert status() == 401
    call_command("demo_users")
    assert status() == 200


def test_without_a_token_in_the_environment_none_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEMO_TOKEN")
    call_command("demo_users")
    assert not ApiToken.objects.exists()
