"""An admission gives back the tokens of a failed call and reports its result to the breaker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from workers.inference import AnswerIncomplete, Billing, RateLimited, TokenUsage
from workers.inference.admission import GateAdmission, ProbeAdmission
from workers.inference.breaker import BreakerPolicy
from workers.inference.grants import CallEnd
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
    ends: list[CallEnd] = []

    def settle(held: Any, end: CallEnd, *, now: int | None = None) -> None:
        del held, now
        ends.append(end)

    gates: Any = SimpleNamespace(settle=settle)
    held: Any = SimpleNamespace(request=SimpleNamespace(amounts=BOUND))
    error = AnswerIncomplete("cut", billing=billing, usage=REPORTED)
    GateAdmission(gates, BreakerPolicy(), held).failed(error)
    assert ends[0].used == used


class Gates:
    """Store the reports of calls."""

    def __init__(self) -> None:
        self.ends: list[CallEnd] = []
        self.begins = 0

    def settle(self, held: Any, end: CallEnd, *, now: int | None = None) -> None:
        del held, now
        self.ends.append(end)

    def begun(self, held: Any) -> None:
        del held
        self.begins += 1


def held(*, trial: bool = False) -> Any:
    return SimpleNamespace(request=SimpleNamespace(amounts=BOUND), trial=trial)


def test_only_a_trial_call_reports_its_first_text_and_reports_it_once() -> None:
    gates, pieces = Gates(), list[str]()
    usual = GateAdmission(gates, BreakerPolicy(), held())
    assert usual.sink(pieces.append) == pieces.append
    trial = GateAdmission(gates, BreakerPolicy(), held(trial=True)).sink(pieces.append)
    assert trial is not None
    for piece in ("The", " board", " met."):
        trial(piece)
    assert (gates.begins, pieces) == (1, ["The", " board", " met."])


def test_only_the_first_report_of_an_end_counts() -> None:
    gates = Gates()
    admission = GateAdmission(gates, BreakerPolicy(), held())
    admission.give_back()
    admission.succeeded(TokenUsage(), {}, 100)
    assert [end.used for end in gates.ends] == [NOTHING]


@pytest.mark.parametrize(("asked_s", "kept_s"), [(None, 2.0), (0.5, 2.0), (30.0, 30.0)])
def test_a_probe_that_met_a_rate_limit_starts_a_pause_for_all(
    asked_s: float | None, kept_s: float
) -> None:
    """The pause is never zero. Otherwise the next probe would follow immediately."""
    gates = Gates()
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=asked_s)
    ProbeAdmission(gates, BreakerPolicy(recheck_s=2.0), held()).failed(error)
    assert [(end.outcome, end.block_s, end.refused) for end in gates.ends] == [("", kept_s, True)]
