"""Users manage their own password, sessions and tokens only."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from aifeature.models import ApiToken, SignIn, SignInCount
from aifeature.services.sign_in.sign_ins import browser_of, shown
from aifeature.web.account import MOST_TOKENS

pytestmark = pytest.mark.slow

PAGE = "/account/"
WORD = "correct horse"
DISABLED = {"usable_password": "false", "unset-password": "Disable"}
NEW = {"new_password1": "battery staple 42", "new_password2": "battery staple 42"}


@pytest.fixture
def browser(carol: User) -> Client:
    return signed_in(carol)


def signed_in(user: User) -> Client:
    client = Client(headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/144.0"})
    form = {"username": user.get_username(), "password": WORD}
    assert client.post("/accounts/login/", form).status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get(PAGE).status_code == 200


def works(token: str) -> bool:
    headers = {"authorization": f"Bearer {token}"}
    return Client().get("/api/v1/features", headers=headers).status_code == 200


def token_of(user: User) -> str:
    return ApiToken.issue(user_id=user.pk, name="x")[1]


def test_a_new_password_ends_other_sessions_and_tokens(carol: User, browser: Client) -> None:
    other, token = signed_in(carol), token_of(carol)
    browser.get(PAGE)
    changed = browser.post(f"{PAGE}password/", {"old_password": WORD, **NEW})
    assert changed.status_code == 303
    assert "Your password is changed" in browser.get(PAGE).text
    assert not is_in(other)
    assert not works(token)
    (left,) = shown(carol, this=browser.session.session_key)
    assert left.is_this


@pytest.mark.parametrize("how", ["set_password", "create"])
def test_tokens_end_with_a_password_however_it_is_set(carol: User, how: str) -> None:
    token, others = token_of(carol), token_of(User.objects.create_user("dora"))
    if how == "set_password":
        carol.set_password("battery staple 42")
        carol.save()
    else:
        User.objects.create_user("eve", password="battery staple 42")
    assert works(token) == (how == "create")
    assert works(others)


def test_a_rehashed_password_ends_no_token(carol: User) -> None:
    token = token_of(carol)
    old = carol.password.replace("$1$", "$2$")  # as if the number of rounds had been raised since
    User.objects.filter(pk=carol.pk).update(password=old)
    carol.refresh_from_db()
    carol.set_password(WORD)
    carol._password = None  # type: ignore[attr-defined]  # as Django does it
    carol.save(update_fields=["password"])
    assert works(token)


def test_guesses_of_the_present_password_are_counted(carol: User, browser: Client) -> None:
    SignInCount.objects.all().delete()
    for _ in range(5):
        wrong = browser.post(f"{PAGE}password/", {"old_password": "no", **NEW})
        assert wrong.status_code == 422
    closed = browser.post(f"{PAGE}password/", {"old_password": WORD, **NEW})
    assert closed.status_code == 429
    carol.refresh_from_db()
    assert carol.check_password(WORD)


def test_one_other_browser_is_signed_out(carol: User, browser: Client) -> None:
    other = signed_in(carol)
    page = browser.get(PAGE).text
    assert page.count("Firefox on Linux") >= 2
    assert str(other.session.session_key) not in page
    (address,) = re.findall(r'action="(/account/sessions/[^"]+)"', page)
    assert browser.post(address).status_code == 303
    assert not is_in(other)
    assert is_in(browser)
    assert browser.post(address).status_code == 404


def test_sign_out_everywhere_concerns_this_user_only(carol: User, browser: Client) -> None:
    dora = User.objects.create_user("dora", password=WORD)
    other, old, stranger = signed_in(carol), signed_in(carol), signed_in(dora)
    SignIn.objects.filter(pk=old.session.session_key).delete()  # from a release without such rows
    mine, theirs = token_of(carol), token_of(dora)
    assert browser.post(f"{PAGE}sign-out-everywhere/")["Location"] == "/accounts/signed-out/"
    assert not any(map(is_in, (browser, other, old)))
    assert not works(mine)
    assert is_in(stranger)
    assert works(theirs)
    assert not Session.objects.filter(pk=old.session.session_key).exists()


def test_sessions_and_tokens_of_others_cannot_be_ended(carol: User, browser: Client) -> None:
    dora = User.objects.create_user("dora", password=WORD)
    theirs, row = signed_in(dora), ApiToken.issue(user_id=dora.pk, name="x")[0]
    (number,) = (each.number for each in shown(dora, this=None))
    assert browser.post(f"{PAGE}sessions/{number}/end/").status_code == 404
    assert browser.post(f"{PAGE}tokens/{row.pk}/revoke/").status_code == 404
    assert is_in(theirs)
    row.refresh_from_db()
    assert row.revoked_at is None


def test_a_token_is_made_shown_once_and_revoked(carol: User, browser: Client, opened: None) -> None:
    form = {"name": "nightly", "may": "read", "days": "30", "features": ["summarize"]}
    made = browser.post(f"{PAGE}tokens/", form)
    (text,) = re.findall(r"aif_[\w-]{43}", made.text)
    assert made["Cache-Control"].startswith("max-age=0")
    row = ApiToken.objects.get()
    assert (row.user, row.may_submit, row.features) == (carol, False, ["summarize"])
    assert row.expires_at is not None
    assert abs(row.expires_at - timezone.now() - timedelta(days=30)) < timedelta(hours=1)
    assert text not in browser.get(PAGE).text
    assert works(text)
    assert browser.post(f"{PAGE}tokens/{row.pk}/revoke/").status_code == 303
    assert not works(text)


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "x" * 81}, {"may": "all"}, {"days": "9999"}, {"features": ["triage"]}],
)
def test_an_invalid_token_is_not_made(
    carol: User, browser: Client, opened: None, wrong: dict[str, object]
) -> None:
    form = {"name": "n", "may": "read", "days": "30", **wrong}
    assert browser.post(f"{PAGE}tokens/", form).status_code == 422
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("address", "data"),
    [("password/", NEW), ("sign-out-everywhere/", {}), ("tokens/", {"name": "x"})],
)
def test_the_account_needs_a_csrf_token(carol: User, address: str, data: dict[str, str]) -> None:
    assert "/login/" in Client().post(f"{PAGE}{address}", data)["Location"]
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(carol)
    assert forged.post(f"{PAGE}{address}", data).status_code == 403


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19) Version/19.0 Safari/604.1", "Safari on iPhone"),
        ("<script>alert(1)</script>", "A browser"),
        ("", "A browser"),
    ],
)
def test_a_browser_is_named_and_its_header_not_kept(header: str, words: str) -> None:
    assert browser_of(header) == words


def test_admin_has_no_door_of_its_own_to_a_password(db: None) -> None:
    """The page of Django does not count guesses."""
    sam = User.objects.create_user("sam", password=WORD, is_staff=True)
    browser = signed_in(sam)
    for _ in range(8):
        answer = browser.post("/admin/password_change/", {"old_password": "guess", **NEW})
        assert (answer.status_code, answer["Location"]) == (302, PAGE)
    sam.refresh_from_db()
    assert sam.check_password(WORD)


def test_a_password_disabled_in_admin_ends_the_tokens(carol: User, browser: Client) -> None:
    token = token_of(carol)
    boss = Client()
    boss.force_login(User.objects.create_superuser("boss"))
    path = f"/admin/auth/user/{carol.pk}/password/"
    assert boss.post(path, DISABLED).status_code == 302
    assert not User.objects.get(pk=carol.pk).has_usable_password()
    assert not works(token)
    assert not is_in(browser)
    assert boss.get("/admin/").status_code == 200


def test_a_session_that_gets_another_key_stays_on_the_list(carol: User, browser: Client) -> None:
    boss = User.objects.create_superuser("boss", password=WORD)
    browser.post("/admin/login/", {"username": "boss", "password": WORD})
    (first,) = shown(boss, this=browser.session.session_key)
    assert first.is_this, "it replaced the session of another user"
    path = f"/admin/auth/user/{carol.pk}/password/"
    new = {"usable_password": "true", "password1": NEW["new_password1"]}
    assert browser.post(path, {**new, "password2": new["password1"]}).status_code == 302
    (second,) = shown(boss, this=browser.session.session_key)
    assert second.is_this
    assert second.number != first.number


def test_only_so_many_tokens_are_made_also_at_once(carol: User, opened: None) -> None:
    """The count is taken while the user's row is locked."""
    for _ in range(MOST_TOKENS - 1):
        token_of(carol)
    browser = signed_in(carol)
    form = {"name": "nightly", "may": "read", "days": "30", "features": ["summarize"]}
    with CaptureQueriesContext(connection) as queries:
        assert browser.post(f"{PAGE}tokens/", form).status_code == 200
        sql = [query["sql"] for query in queries.captured_queries]
    assert ApiToken.objects.filter(user=carol).count() == MOST_TOKENS
    assert browser.post(f"{PAGE}tokens/", form).status_code == 422
    (locked,) = [n for n, each in enumerate(sql) if "FOR NO KEY UPDATE" in each]
    (counted,) = [n for n, each in enumerate(sql) if "COUNT(*)" in each and "apitoken" in each]
    assert locked < counted
