"""`manage.py canary`: each action has its permission, and the figures can be read."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from aifeature.services.rollout import canaries
from tests import proof
from tests.canary_rows import plant, proven

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("canary", *arguments, stdout=out)
    return out.getvalue()


def test_life_of_a_canary_by_command(ada: User) -> None:
    proof.open_to_users("summarize")
    proven()
    by = ("--reason", "Because.", "--user", "ada", "--yes")
    with pytest.raises(CommandError, match="lacks the permission"):
        run("start", "summarize", "v3", "--percent", "5", *by)
    User.objects.filter(pk=ada.pk).update(is_staff=True, is_superuser=True)
    assert "runs as a canary at 5 %" in run("start", "summarize", "v3", "--percent", "5", *by)
    assert "20 % of users get v3" in run("share", "summarize", "--percent", "20", *by)
    assert "is held" in run("hold", "summarize", *by)
    assert "goes on" in run("continue", "summarize", *by)
    canary = canaries.open_of("summarize")
    assert canary is not None
    plant(canary, "live", 8)
    plant(canary, "candidate", 2, harmed=1)
    canaries.check()
    shown = run("show", "summarize")
    assert "v3 against v4 at 20 %, running" in shown
    assert "errors: 1 of 2 users, live 0 of 8" in shown
    with pytest.raises(CommandError, match="2 of 200 users"):
        run("promote", "summarize", *by)
    assert "is stopped" in run("stop", "summarize", *by)
    with pytest.raises(CommandError, match="No canary of summarize is open"):
        run("stop", "summarize", *by)


def test_simulation_prints_its_figures() -> None:
    printed = run("--simulate", "--runs", "1", "--seed", "3")
    for words in ("False roll-backs", "per-job z-test", "8% at 10 %: found", "False promotions"):
        assert words in printed
    assert run("--simulate", "--runs", "1", "--seed", "3") == printed
