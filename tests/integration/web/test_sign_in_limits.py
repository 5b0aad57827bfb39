"""Password guesses are counted before they are checked, also under concurrency."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from unittest.mock import patch

import pytest
from django.contrib.auth.hashers import check_password as real_check
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from aifeature.models import SignInCount
from aifeature.policies.sign_in import OF_ADDRESS, OF_BOTH, OF_NAME, WINDOW
from aifeature.services.sign_in import limits
from tests.integration.conftest import wait_until_blocked
from tests.integration.fuzz.values import thorough

pytestmark = pytest.mark.slow

LOGIN = "/accounts/login/"


@pytest.fixture
def checked() -> Iterator[list[str]]:
    """The passwords that were hashed and compared."""
    seen: list[str] = []

    def check(password: str, *args: object, **kwargs: object) -> bool:
        seen.append(password)
        return real_check(password, *args, **kwargs)  # type: ignore[arg-type]

    with patch("django.contrib.auth.base_user.check_password", check):
        yield seen


def attempt(name: str, password: str, address: str) -> int:
    client = Client(REMOTE_ADDR=address)
    status: int = client.post(LOGIN, {"username": name, "password": password}).status_code
    return status


@pytest.mark.parametrize("door", [LOGIN, "/admin/login/"])
def test_of_forty_guesses_five_are_checked(committed: None, checked: list[str], door: str) -> None:
    User.objects.create_user("carol", password="correct horse")
    checked.clear()

    def guess(number: int) -> int:
        client = Client(REMOTE_ADDR="192.0.2.1")
        sent = {"username": "carol", "password": f"guess {number}"}
        status: int = client.post(door, sent).status_code
        connection.close()
        return status

    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(guess, range(40)))
    assert len(checked) <= OF_BOTH
    assert statuses.count(429) >= 40 - OF_BOTH


def test_a_try_waits_for_the_count_of_one_that_is_under_way(committed: None) -> None:
    assert limits.take("carol", "192.0.2.1") == 0

    def another() -> int:
        try:
            return limits.take("carol", "192.0.2.1")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            for _ in range(OF_BOTH - 1):
                assert limits.take("carol", "192.0.2.1") == 0
            waiting = pool.submit(another)
            wait_until_blocked()
        assert waiting.result() > 0


GUESSES = {
    "one address": [(f"user{n}", "192.0.2.1") for n in range(OF_ADDRESS + 5)],
    "one name": [("user0", f"192.0.2.{n}") for n in range(OF_NAME + 5)],
}


@pytest.mark.parametrize("kind", GUESSES)
def test_one_address_and_one_name_are_locked(db: None, checked: list[str], kind: str) -> None:
    for name in {name for name, _ in GUESSES[kind]}:
        User.objects.create_user(name, password="correct horse")
    checked.clear()
    statuses = [attempt(name, "Summer2026!", address) for name, address in GUESSES[kind]]
    most = len(statuses) - 5
    assert statuses == [200] * most + [429] * 5
    assert len(checked) == most
    other = attempt("user0", "correct horse", "198.51.100.1")
    assert other == (302 if kind == "one address" else 429)


def test_the_addresses_of_one_subscriber_are_one(db: None, checked: list[str]) -> None:
    statuses = [attempt(f"user{n}", "Summer2026!", f"2001:db8:1:1::{n:x}") for n in range(22)]
    assert statuses == [200] * OF_ADDRESS + [429] * 2
    assert attempt("user1", "Summer2026!", "2001:db8:1:2::1") == 200


def test_refused_attempts_add_no_rows(db: None) -> None:
    for n in range(OF_ADDRESS):
        assert limits.take(f"user{n}", "192.0.2.1") == 0
    rows = SignInCount.objects.count()
    for n in range(50):
        assert limits.take(f"other{n}", "192.0.2.1") > 0
    assert SignInCount.objects.count() == rows


def test_counts_that_are_over_are_forgotten(db: None) -> None:
    limits.take("carol", "192.0.2.1")
    assert limits.prune() == 0
    SignInCount.objects.update(until=Now() - 2 * WINDOW)
    assert limits.prune() == 3


def test_many_colleagues_sign_in_from_one_address(db: None) -> None:
    for n in range(OF_ADDRESS + 5):
        User.objects.create_user(f"user{n}", password="correct horse")
        assert attempt(f"user{n}", "correct horse", "192.0.2.1") == 302


def test_an_account_of_their_own_does_not_clear_the_way_to_others(db: None) -> None:
    for n in range(OF_ADDRESS):
        User.objects.create_user(f"user{n}", password="correct horse")
    User.objects.create_user("mallory", password="correct horse")
    statuses = []
    for n in range(OF_ADDRESS):
        statuses.append(attempt(f"user{n}", "Summer2026!", "192.0.2.1"))
        attempt("mallory", "correct horse", "192.0.2.1")
    assert attempt("mallory", "correct horse", "192.0.2.1") == 429
    assert statuses.count(200) == OF_ADDRESS


@pytest.mark.parametrize("typed", ["carol", "CAROL"])
def test_an_operator_opens_the_sign_in_of_a_name_again(db: None, typed: str) -> None:
    """The command clears the counts of the name, of its addresses, and of both together."""
    User.objects.create_user("carol", password="correct horse")
    User.objects.create_user("dave", password="correct horse")
    for n in range(OF_NAME + OF_BOTH):
        attempt("Carol" if n % 2 else "carol", "guess", f"192.0.2.{n // OF_BOTH}")
    for n in range(OF_ADDRESS):
        attempt(f"user{n}", "guess", "192.0.2.0")
        attempt("dave", "guess", "198.51.100.1")
    assert attempt("carol", "correct horse", "192.0.2.0") == 429
    call_command("reopen_sign_in", typed, stdout=StringIO())
    assert attempt("carol", "correct horse", "192.0.2.0") == 302
    assert attempt("carol", "correct horse", "203.0.113.1") == 302
    assert attempt("dave", "correct horse", "198.51.100.1") == 429, "others stay locked"


def test_an_operator_sees_that_a_name_was_not_counted(db: None) -> None:
    out = StringIO()
    call_command("reopen_sign_in", "carol", stdout=out)
    assert "Nothing was counted for carol" in out.getvalue()


names = st.text(st.characters(codec=None), max_size=300)


@thorough(40)
@given(name=names, address=st.sampled_from(["192.0.2.1", "2001:db8::1", ""]))
def test_any_name_is_counted(db: None, name: str, address: str) -> None:
    SignInCount.objects.all().delete()
    assert [limits.take(name, address) for _ in range(OF_BOTH)] == [0] * OF_BOTH
    assert limits.take(name, address) > 0
