"""What a call that failed gives back of the provider's limits: only what is known to be unused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from workers.inference import AnswerIncomplete, Billing, TokenUsage
from workers.inference.admission import End
from workers.inference.breaker import BreakerPolicy
from workers.inference.permit import GatePermit
from workers.inference.provider_limits import NOTHING, Amounts

BOUND = Amounts(1, 5_000, 1_000)
REPORTED = TokenUsage(11, 1, 5, 3)


@pytest.mark.parametrize(
    ("billing", "used"),
    [
        (Billing.NONE, NOTHING),
        (Billing.KNOWN, Amounts(1, 14, 1)),
        (Billing.CEILING, BOUND),
        (Billing.UNSEEN, BOUND),
    ],
)
def test_only_a_usage_that_is_final_releases_the_rest_of_the_bound(
    billing: Billing, used: Amounts
) -> None:
    ends: list[End] = []

    def settle(held: Any, end: End, *, now: int | None = None) -> None:
        del held, now
        ends.append(end)

    gates: Any = SimpleNamespace(settle=settle)
    held: Any = SimpleNamespace(asked=SimpleNamespace(amounts=BOUND))
    error = AnswerIncomplete("cut", billing=billing, usage=REPORTED)
    GatePermit(gates, BreakerPolicy(), held).failed(error)
    assert ends[0].used == used
