"""No message about a waiting job makes its user send it again."""

from __future__ import annotations

import re

import pytest

from aifeature.reasons import FailureCode, WaitReason
from aifeature.services.texts import FAILED, WAITING, messages

INVITES = re.compile(r"\bplease\b|\byou can\b|(?<!\bwe )try again", re.IGNORECASE)
CANCELLED = [text for name, text in vars(messages).items() if name.startswith("CANCELLED_BY_")]


def test_every_reason_and_every_code_has_a_sentence() -> None:
    assert WAITING.keys() == set(WaitReason)
    assert FAILED.keys() == set(FailureCode)
    assert len(CANCELLED) == 3


def test_the_message_of_a_held_job_states_that_it_is_kept() -> None:
    told = "Paused by our team. Your request is kept and continues by itself."
    assert WAITING[WaitReason.FEATURE_PAUSED] == told


@pytest.mark.parametrize("reason", WaitReason)
def test_no_message_of_a_waiting_job_invites_a_second_submission(reason: WaitReason) -> None:
    assert not INVITES.search(WAITING[reason])


@pytest.mark.parametrize("code", FailureCode)
def test_no_message_of_a_failed_job_states_that_it_continues(code: FailureCode) -> None:
    assert "continues" not in FAILED[code]
    assert "is kept" not in FAILED[code]


@pytest.mark.parametrize("text", [*WAITING.values(), *FAILED.values(), *CANCELLED])
def test_every_message_is_a_sentence_for_users(text: str) -> None:
    assert text[0].isupper()
    assert text.endswith(".")
    assert "_" not in text
