"""What becomes of a job whose call no budget has room for, and what its user reads."""

from __future__ import annotations

import pytest

from aifeature.models.transitions import AttemptRefusedError
from aifeature.services import verdicts
from aifeature.services.messages import sentence
from aifeature.services.outcomes import Failed

ENDS = "Cancelled and repeated requests count too. It starts again at 00:00 UTC."


@pytest.mark.parametrize(
    ("scope", "code", "read"),
    [
        (
            "user_spend",
            "user_limit",
            f"You have reached today's limit for this feature. {ENDS}",
        ),
        (
            "account",
            "account_limit",
            f"You have reached today's limit for all features together. {ENDS}",
        ),
        *(
            (
                scope,
                "budget_spent",
                "The budget for this feature is used up for today. Please try again tomorrow.",
            )
            for scope in ("user", "feature", "global", "month")
        ),
    ],
)
def test_a_spent_budget_is_told_as_the_users_own_or_as_that_of_all(
    scope: str, code: str, read: str
) -> None:
    refused = AttemptRefusedError(f"budget_spent {scope}")
    outcome = verdicts.after_refusal(refused, paid=False, waited_for="")
    assert outcome == Failed(code)
    assert sentence(code) == read


def test_a_code_without_a_sentence_is_an_error_and_no_empty_answer() -> None:
    with pytest.raises(KeyError):
        sentence("unheard_of")
