"""What becomes of a job whose call no budget has room for, and what its user reads."""

from __future__ import annotations

import pytest

from aifeature.models.transitions import AttemptRefusedError
from aifeature.services.execution import run_decisions
from aifeature.services.execution.outcomes import Failed, Later, Outcome
from aifeature.services.texts.messages import sentence

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
    outcome = run_decisions.after_refusal(refused, paid=False, waited_for="")
    assert outcome == Failed(code)
    assert sentence(code) == read


@pytest.mark.parametrize(
    ("waits", "ends"),
    [
        (Later(2.0, burn=True, code="provider_waiting"), Failed("provider_unavailable")),
        (Later(2.0, burn=True, code="provider_account"), Failed("provider_unavailable")),
        (Later(2.0, burn=True, code="user_tokens"), Failed("overloaded")),
        (Later(2.0, burn=True, code="budget_held"), Failed("budget_spent")),
        (Later(2.0, burn=True, code="internal_error"), None),
        (Later(2.0, burn=False, code="provider_waiting"), None),
    ],
)
def test_at_its_last_try_a_job_ends_by_what_it_would_wait_for(
    waits: Later, ends: Failed | None
) -> None:
    found: list[Outcome] = [
        run_decisions.within_tries(waits, tries=tries, max_tries=5) for tries in range(5)
    ]
    assert found == [waits] * 4 + [ends or waits]


def test_a_code_without_a_sentence_is_an_error_and_no_empty_answer() -> None:
    with pytest.raises(KeyError):
        sentence("unheard_of")
