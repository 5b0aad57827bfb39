"""The commands create_token, revoke_token and list_tokens."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from aifeature.models import ApiToken


def run(*arguments: str) -> tuple[str, str]:
    """A command's standard output and standard error."""
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def status_with(token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return Client().get("/api/v1/features", headers=headers).status_code


def test_only_the_token_is_printed_and_it_works_until_it_is_revoked(ada: User) -> None:
    out, err = run("create_token", "ada", "--name", "nightly import")
    token = out.removesuffix("\n")
    assert token.startswith("aif_")
    assert token not in err
    assert status_with(token) == 200

    row = ApiToken.objects.get()
    assert (row.user, row.name) == (ada, "nightly import")
    assert "is revoked" in run("revoke_token", row.hint)[0]
    assert status_with(token) == 401


def test_a_token_is_made_with_a_scope(ada: User) -> None:
    options = ("--days", "30", "--read-only", "--feature", "summarize")
    out, _ = run("create_token", "ada", "--name", "report", *options)
    row = ApiToken.objects.get()
    assert (row.may_submit, row.features) == (False, ["summarize"])
    assert row.expires_at is not None
    assert status_with(out.strip()) == 200
    for days in ("0", "-1", "99999"):
        with pytest.raises(CommandError, match="--days"):
            run("create_token", "ada", "--name", "report", "--days", days)


def test_by_id_and_twice(ada: User) -> None:
    row, _ = ApiToken.issue(user_id=ada.pk, name="x")
    run("revoke_token", str(row.pk))
    row.refresh_from_db()
    first = row.revoked_at
    assert first is not None
    assert "before" in run("revoke_token", str(row.pk))[0]
    row.refresh_from_db()
    assert row.revoked_at == first


def test_revoking_touches_no_other_token(ada: User) -> None:
    one, _ = ApiToken.issue(user_id=ada.pk, name="one")
    two, text = ApiToken.issue(user_id=ada.pk, name="two")
    run("revoke_token", str(one.pk))
    assert status_with(text) == 200
    assert two.revoked_at is None


def test_a_hint_that_fits_two_is_not_guessed_at(ada: User) -> None:
    for _ in range(2):
        ApiToken.issue(user_id=ada.pk, name="x")
    ApiToken.objects.update(hint="aif_same")
    with pytest.raises(CommandError, match="more than one"):
        run("revoke_token", "aif_same")
    assert not ApiToken.objects.exclude(revoked_at=None).exists()


@pytest.mark.parametrize("token", ["aif_none", "0", "²", "aif_"])
def test_no_such_token(ada: User, token: str) -> None:
    ApiToken.issue(user_id=ada.pk, name="x")
    with pytest.raises(CommandError, match="no such token"):
        run("revoke_token", token)


@pytest.mark.parametrize(
    ("username", "name"), [("nobody", "x"), ("gone", "x"), ("ada", " "), ("ada", "x" * 81)]
)
def test_no_token_is_made_from_wrong_arguments(ada: User, username: str, name: str) -> None:
    User.objects.create_user("gone", is_active=False)
    with pytest.raises(CommandError):
        run("create_token", username, "--name", name)
    assert not ApiToken.objects.exists()


def test_the_list_shows_everything_but_the_token(ada: User, bob: User) -> None:
    _, text = ApiToken.issue(user_id=ada.pk, name="of ada")
    ApiToken.issue(user_id=bob.pk, name="of bob")
    everything = run("list_tokens")[0]
    assert len(everything.splitlines()) == 3
    assert text not in everything
    hers = run("list_tokens", "ada")[0]
    assert "of ada" in hers
    assert text[:8] in hers
    assert "of bob" not in hers
    assert len(hers.splitlines()) == 2
