"""A job whose call exceeds a budget waits or fails, with a message for its user."""

from __future__ import annotations

import pytest

from aifeature.models.transitions import AttemptRefusedError
from aifeature.reasons import FailureCode, WaitReason
from aifeature.services.execution import run_decisions
from aifeature.services.execution.outcomes import Failed, Outcome, Requeue
from aifeature.services.texts import FAILED

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
def test_a_spent_budget_is_named_as_the_users_own_or_as_the_shared_one(
    scope: str, code: str, read: str
) -> None:
    refused = AttemptRefusedError(f"budget_spent {scope}")
    outcome = run_decisions.after_refusal(refused, paid=False, waited_for="")
    assert outcome == Failed(FailureCode(code))
    assert FAILED[FailureCode(code)] == read


@pytest.mark.parametrize(
    ("waits", "ends"),
    [
        (
            Requeue(2.0, counts_as_try=True, reason=WaitReason.PROVIDER_WAITING),
            Failed(FailureCode.PROVIDER_UNAVAILABLE),
        ),
        (
            Requeue(2.0, counts_as_try=True, reason=WaitReason.PROVIDER_ACCOUNT),
            Failed(FailureCode.PROVIDER_UNAVAILABLE),
        ),
        (
            Requeue(2.0, counts_as_try=True, reason=WaitReason.USER_TOKENS),
            Failed(FailureCode.OVERLOADED),
        ),
        (
            Requeue(2.0, counts_as_try=True, reason=WaitReason.BUDGET_HELD),
            Failed(FailureCode.BUDGET_SPENT),
        ),
        (Requeue(2.0, counts_as_try=True, reason=WaitReason.INTERNAL_ERROR), None),
        (Requeue(2.0, counts_as_try=False, reason=WaitReason.PROVIDER_WAITING), None),
    ],
)
def test_at_its_last_try_a_job_ends_by_what_it_would_wait_for(
    waits: Requeue, ends: Failed | None
) -> None:
    found: list[Outcome] = [
        run_decisions.within_tries(waits, tries=tries, max_tries=5) for tries in range(5)
    ]
    assert found == [waits] * 4 + [ends or waits]
