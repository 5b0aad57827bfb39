"""`manage.py kill_switch` shows figures, requires confirmation, and needs only the database."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command

from aifeature import registry
from aifeature.models import ControlChange, FeatureControl, KillMode
from aifeature.services.controls import effective, switch
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.usefixtures("eve")

WHY = ("--reason", "Bad answers.")


Answer = Callable[[str], list[str]]


@pytest.fixture
def eve(db: None) -> User:
    """A person on call, who may pull and release switches."""
    user = User.objects.create_user("eve", is_staff=True)
    may = Permission.objects.filter(codename__in=["stop_feature", "release_feature"])
    user.user_permissions.set(may)
    return user


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Set the text that the person types, and return the questions."""

    def will_type(text: str) -> list[str]:
        questions: list[str] = []

        def typed(question: str) -> str:
            questions.append(question)
            return text

        monkeypatch.setattr("builtins.input", typed)
        return questions

    return will_type


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("kill_switch", *arguments, stdout=out)
    return out.getvalue()


def row(slug: str = "summarize") -> FeatureControl:
    return FeatureControl.objects.get(feature=slug)


def test_stop_shows_figures(eve: User, make_job: MakeJob, answer: Answer) -> None:
    make_job()
    questions = answer("y")
    output = run("stop", "summarize", *WHY, "--user", "eve")
    assert "This stops summarize: 0 running, 1 queued, $0.00 held. Its jobs are held." in output
    assert questions == ["Stop summarize? [y/N] "]
    assert row().killed
    assert (row().kill_mode, row().kill_reason) == (KillMode.HOLD, "Bad answers.")
    assert ControlChange.objects.get(field="killed").user == eve


@pytest.mark.parametrize("typed", ["", "n", "no", "stop"])
def test_only_yes_is_accepted(eve: User, answer: Answer, typed: str) -> None:
    answer(typed)
    with pytest.raises(CommandError, match="Not confirmed: nothing was changed"):
        run("stop", "summarize", *WHY, "--user", "eve")
    assert not switch.is_stopped("summarize")
    switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=eve.pk)
    with pytest.raises(CommandError, match="Not confirmed"):
        run("release", "summarize", *WHY, "--user", "eve")
    assert row().killed


def test_without_a_terminal_yes_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="Give --yes"):
        run("stop", "summarize", *WHY, "--user", "eve")
    assert not switch.is_stopped("summarize")


def test_the_yes_option_skips_the_question(eve: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", pytest.fail)
    run("stop", "_everything", *WHY, "--user", "eve", "--cancel", "--yes")
    assert (row("_everything").killed, row("_everything").kill_mode) == (True, KillMode.CANCEL)
    run("release", "_everything", "--reason", "Over.", "--user", "eve", "--yes")
    assert not row("_everything").killed
    last = ControlChange.objects.filter(field="killed").order_by("-id")[0]
    assert (last.user, last.reason) == (eve, "Over.")


def test_a_release_can_be_gradual() -> None:
    run("stop", "summarize", *WHY, "--user", "eve", "--yes")
    output = run("release", "summarize", *WHY, "--user", "eve", "--percent", "20", "--yes")
    assert "stopped by eve" in output
    assert "released for 20 % of users" in output
    assert (row().killed, row().release_percent) == (False, 20)
    with pytest.raises(CommandError, match="released for 20 % of users already"):
        run("release", "summarize", *WHY, "--user", "eve", "--percent", "10", "--yes")
    run("release", "summarize", *WHY, "--user", "eve", "--yes")
    assert row().release_percent == 100
    with pytest.raises(CommandError, match="nothing to release"):
        run("release", "summarize", *WHY, "--user", "eve", "--yes")


@pytest.mark.parametrize("percent", ["0", "101"])
def test_a_release_is_for_1_to_100_percent(percent: str) -> None:
    run("stop", "summarize", *WHY, "--user", "eve", "--yes")
    with pytest.raises(CommandError, match="1 to 100 percent"):
        run("release", "summarize", *WHY, "--user", "eve", "--percent", percent, "--yes")
    assert row().killed


@pytest.mark.parametrize("action", ["stop", "release"])
def test_the_person_must_exist_be_active_and_have_the_permission(eve: User, action: str) -> None:
    switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=eve.pk)
    before = ControlChange.objects.count()
    User.objects.create_user("bob", is_staff=True)
    User.objects.create_superuser("old", is_active=False)
    other = User.objects.create_user("half", is_staff=True)
    wrong = "release_feature" if action == "stop" else "stop_feature"
    other.user_permissions.set(Permission.objects.filter(codename=wrong))
    for name, problem in (
        ("nobody", "There is no user named 'nobody'"),
        ("old", "The account of old is closed"),
        ("bob", f"bob lacks the permission aifeature.{action}_feature"),
        ("half", f"half lacks the permission aifeature.{action}_feature"),
    ):
        with pytest.raises(CommandError, match=problem):
            run(action, "summarize", *WHY, "--user", name, "--yes")
    assert ControlChange.objects.count() == before


def test_a_missing_permission_is_answered_with_its_holders(eve: User) -> None:
    User.objects.create_user("bob", is_staff=True)
    User.objects.create_superuser("old", is_active=False)
    with pytest.raises(CommandError, match=r"These have it: eve\. A superuser can give it to bob"):
        run("stop", "summarize", *WHY, "--user", "bob", "--yes")
    eve.user_permissions.clear()
    with pytest.raises(CommandError, match=r"No account has it: manage\.py createsuperuser makes"):
        run("stop", "summarize", *WHY, "--user", "bob", "--yes")


@pytest.mark.parametrize("action", ["stop", "change_reason", "release"])
def test_a_reason_is_needed(eve: User, action: str) -> None:
    with pytest.raises(CommandError, match="--reason"):
        run(action, "summarize", "--user", "eve", "--yes")
    if action != "stop":
        switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=eve.pk)
    before = ControlChange.objects.count()
    with pytest.raises(CommandError, match="needs a reason"):
        run(action, "summarize", "--reason", "  ", "--user", "eve", "--yes")
    assert ControlChange.objects.count() == before


@pytest.mark.parametrize("action", ["stop", "release", "status"])
def test_an_unknown_feature_is_answered_with_the_known_ones(action: str) -> None:
    more = () if action == "status" else (*WHY, "--user", "eve", "--yes")
    known = ", ".join(["_everything", *registry.slugs()])
    with pytest.raises(CommandError, match=f"Choose one of: {known}"):
        run(action, "sumarize", *more)


def test_status_shows_each_switch_with_its_reason(eve: User, make_job: MakeJob) -> None:
    make_job()
    switch.stop("summarize", reason="Bad answers.", mode=KillMode.CANCEL, user_id=eve.pk)
    output = run("status").splitlines()
    assert output[0] == "_everything: 0 running, 1 queued, $0.00 held; running"
    summarize = next(line for line in output if line.startswith("summarize"))
    assert summarize.startswith("summarize: 0 running, 1 queued, $0.00 held; stopped by eve, 2")
    assert summarize.endswith(", jobs cancelled: Bad answers.")
    assert run("status", "summarize").splitlines() == [summarize]


def test_it_works_without_redis(settings: Any) -> None:
    settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    run("stop", "summarize", *WHY, "--user", "eve", "--yes")
    assert effective.cache.get("summarize").killed
    run("release", "summarize", *WHY, "--user", "eve", "--yes")
    assert not effective.cache.get("summarize").killed


def test_a_second_stop_changes_nothing_and_reports_it() -> None:
    run("stop", "summarize", *WHY, "--user", "eve", "--yes")
    again = ("--reason", "Another.", "--user", "eve", "--yes")
    output = run("stop", "summarize", *again)
    assert "Already stopped by eve" in output
    assert "Nothing was changed." in output
    with pytest.raises(CommandError, match=r"Nothing was changed\. To change .* use change_reason"):
        run("stop", "summarize", "--cancel", *again)
    assert (row().kill_reason, row().kill_mode) == ("Bad answers.", KillMode.HOLD)
    assert not ControlChange.objects.filter(reason="Another.").exists()


def test_the_reason_of_a_stop_can_be_changed() -> None:
    with pytest.raises(CommandError, match="there is no reason to change"):
        run("change_reason", "summarize", *WHY, "--user", "eve", "--yes")
    run("stop", "summarize", *WHY, "--user", "eve", "--cancel", "--yes")
    new = ("--reason", "It is worse.", "--user", "eve", "--yes")
    assert "its jobs are cancelled" in run("change_reason", "summarize", *new)
    assert (row().kill_reason, row().kill_mode) == ("It is worse.", KillMode.CANCEL)
    run("change_reason", "summarize", "--hold", *new)
    assert row().kill_mode == KillMode.HOLD
