"""The provider's bill of each attempt, compared with the spend in the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Attempt, Call, Evidence
from workers.inference.pricing import cost_micro
from workers.inference.types import TokenUsage


def billed_micro(call: Call) -> int:
    """Return the provider's bill for a call, by its own record and the price list."""
    usage = call.billed
    if not usage or call.model is None:
        return 0
    return cost_micro(
        call.model,
        TokenUsage(
            input_tokens=usage.get("input_tokens", 0),
            output_tokens=usage.get("output_tokens", 0),
            cache_read_tokens=usage.get("cache_read_input_tokens", 0),
            cache_write_tokens=usage.get("cache_creation_input_tokens", 0),
        ),
    )


def underbilled(evidence: Evidence) -> Iterator[tuple[Attempt, int, int]]:
    """Yield each attempt with a bill above its spend in the ledger, the bill and the spend."""
    for attempt in evidence.attempts:
        bill = sum(map(billed_micro, evidence.calls_of.get(attempt.id, [])))
        if bill > attempt.spend_micro:
            yield attempt, bill, attempt.spend_micro


def underbilled_micro(evidence: Evidence) -> int:
    """Return the sum of the micro-dollars by which bills are above the ledger."""
    return sum(bill - count for _, bill, count in underbilled(evidence))


@check
def no_bill_is_above_the_ledger(evidence: Evidence) -> Iterator[Violation]:
    """The ledger counts for each attempt at least the provider's bill."""
    for attempt, bill, count in underbilled(evidence):
        text = f"{attempt.state}, counts {count}, the provider bills {bill}"
        yield Violation(Promise.BILL, text, attempt.job, attempt.id)


@check
def failed_calls_count_nothing(evidence: Evidence) -> Iterator[Violation]:
    """An attempt that the provider does not bill is no spend."""
    for attempt in evidence.attempts:
        if attempt.state == "failed" and attempt.cost_micro:
            text = f"failed, but counts {attempt.cost_micro}"
            yield Violation(Promise.BILL, text, attempt.job, attempt.id)
