"""`manage.py prompts` shows what is live, and needs a person, a reason and a confirmation."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command

from aifeature.models import Activation
from aifeature.services.promotion import activations
from tests import proof

pytestmark = pytest.mark.django_db

SLUG = "summarize"


def person(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def run(action: str, *arguments: str, user: str = "eve") -> str:
    out = io.StringIO()
    why = () if action == "status" else ("--reason", "Because.", "--user", user, "--yes")
    call_command("prompts", action, *arguments, *why, stdout=out)
    return out.getvalue()


def live() -> str:
    row = activations.live_row(SLUG)
    return row.version if row else ""


def test_status_shows_what_is_live_and_the_next_step_of_each_version() -> None:
    proof.open_to_users(SLUG)
    proof.evidence(SLUG, "v1", **proof.of_today(SLUG, "v1"))
    lines = run("status", SLUG).splitlines()
    assert lines[:2] == [
        "summarize: Users get v4. Stage: everyone.",
        "  v4 (live): pass, 2026-11-02",
    ]
    assert lines[2] == "  v3: no evidence"
    assert "Evaluate it: python -m evals run summarize --prompt v3" in lines[3]
    assert lines[7] == "    It may be activated: manage.py prompts activate summarize v1"
    assert "judge: It has no users and needs no evidence." in run("status")
    with pytest.raises(CommandError, match="Choose one of: "):
        run("status", "nothing")


def test_a_version_is_activated_and_rolled_back_by_a_person() -> None:
    eve = person("eve", "activate_prompt")
    person("bob", "override_prompt")
    with pytest.raises(CommandError, match=r"has no evidence.*\n?.*Nothing was changed"):
        run("activate", SLUG, "v1")
    for version in ("v1", "v4"):
        proof.evidence(SLUG, version, **proof.of_today(SLUG, version))
        for action in (("activate", SLUG, version), ("rollback", SLUG)):
            with pytest.raises(CommandError, match="bob lacks the permission"):
                run(*action, user="bob")
        assert run("activate", SLUG, version) == f"summarize {version} is live.\n"
    assert run("rollback", SLUG) == "summarize v1 is live again.\n"
    assert (live(), Activation.objects.latest("id").user) == ("v1", eve)
    with pytest.raises(CommandError, match="No earlier version"):
        run("rollback", SLUG)


def test_nothing_happens_without_a_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    person("eve", "activate_prompt")
    proof.activate(SLUG, "v1")
    proof.evidence(SLUG, **proof.of_today(SLUG))
    asked: list[str] = []

    def no(question: str) -> str:
        asked.append(question)
        return "n"

    monkeypatch.setattr("builtins.input", no)
    with pytest.raises(CommandError, match="Not confirmed"):
        call_command("prompts", "activate", SLUG, "v4", "--reason", "r", "--user", "eve")
    assert asked == ["Activate summarize v4? v1 is live now. [y/N] "]
    assert live() == "v1"


def test_an_override_is_requested_approved_and_ended() -> None:
    for name in ("eve", "sam"):
        person(name, "override_prompt")
    proof.activate(SLUG, "v1")
    with pytest.raises(CommandError, match="No request"):
        run("approve", SLUG)
    assert "Another person approves it" in run("override", SLUG, "v2", "--hours", "1")
    assert "eve requests v2 for 1 hour: Because." in run("status", SLUG)
    with pytest.raises(CommandError, match="A second person approves"):
        run("approve", SLUG)
    assert "summarize v2 is live without evidence until" in run("approve", SLUG, user="sam")
    assert "summarize v2 is live without evidence until" in run("status", SLUG)
    assert run("end", SLUG) == "The override of summarize is over.\n"
    assert live() == "v1"
    with pytest.raises(CommandError, match="no such override"):
        run("end", SLUG)
