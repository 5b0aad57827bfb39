"""The provider's record of each call, compared with the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Attempt, Call, Evidence

_TOKENS: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}
"""The name of each count in the ledger and at the provider."""


@check
def every_call_is_in_the_ledger(evidence: Evidence) -> Iterator[Violation]:
    """Each call has the id of a ledger row, and no two calls have the same id."""
    known = {attempt.id for attempt in evidence.attempts}
    for call in evidence.calls:
        if call.attempt_id not in known:
            text = f"call {call.request_id} at {call.started_at:.3f} is not in the ledger"
            yield Violation(Promise.PROVIDER, text, attempt=call.attempt_id or "")
    for attempt_id, calls in evidence.calls_of.items():
        if len(calls) > 1:
            text = f"sent {len(calls)} times"
            yield Violation(Promise.DOUBLED, text, attempt=attempt_id)


@check
def ledger_equals_the_record(evidence: Evidence) -> Iterator[Violation]:
    """The provider billed settled calls exactly, and did not bill calls that count as unbilled."""
    for attempt in evidence.attempts:
        calls = evidence.calls_of.get(attempt.id, [])
        if attempt.state == "settled":
            if not calls:
                yield Violation(Promise.PROVIDER, "settled, never sent", attempt.job, attempt.id)
            elif wrong := _differences(attempt, calls[0]):
                yield Violation(Promise.PROVIDER, wrong, attempt.job, attempt.id)
        elif attempt.state == "failed":
            for call in calls:
                if call.billed:
                    text = f"counts as unbilled, the provider bills {call.billed}"
                    yield Violation(Promise.PROVIDER, text, attempt.job, attempt.id)


def _differences(attempt: Attempt, call: Call) -> str:
    usage = call.usage or {}
    wrong = [
        f"{ours} {getattr(attempt, ours)}, the provider reports {usage.get(theirs, 0)}"
        for ours, theirs in _TOKENS.items()
        if getattr(attempt, ours) != usage.get(theirs, 0)
    ]
    return "; ".join(wrong)
