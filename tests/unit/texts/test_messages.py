"""What users read of a job that waits never makes them send it once more."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from aifeature import services
from aifeature.services.texts import FAILED_AFTER_WAITING
from aifeature.services.texts.messages import (
    MESSAGES,
    sentence,
    sentence_at_end,
)

SERVICES = Path(services.__file__).parent


def _codes_of_waiting_jobs() -> set[str]:
    """Codes of `Later`, and those after which a deadline is told in another way."""
    calls = (
        node
        for file in SERVICES.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Later"
    )
    codes = (k.value for call in calls for k in call.keywords if k.arg == "code")
    literals = {str(code.value) for code in codes if isinstance(code, ast.Constant)}
    return literals | set(FAILED_AFTER_WAITING)


WAITING = sorted(_codes_of_waiting_jobs())
INVITES = re.compile(r"\bplease\b|\byou can\b|(?<!\bwe )try again", re.IGNORECASE)


def test_a_held_job_says_that_it_is_kept() -> None:
    told = "Paused by our team. Your request is kept and continues by itself."
    assert sentence("feature_paused") == told


@pytest.mark.parametrize("code", WAITING)
def test_a_job_that_waits_invites_nobody_to_send_it_again(code: str) -> None:
    assert not INVITES.search(sentence(code))


@pytest.mark.parametrize("code", sorted(MESSAGES.keys() - (set(WAITING) - {"feature_paused"})))
def test_a_job_that_failed_is_not_said_to_continue(code: str) -> None:
    told = sentence_at_end(code)
    assert "continues" not in told
    assert "is kept" not in told
