"""The provider's record and the ledger, call by call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import Attempt, Call, Evidence

_TOKENS: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}
"""The ledger's name of each count, and the provider's."""


def every_call_is_in_the_ledger(evidence: Evidence) -> Iterator[Violation]:
    """Each call bears the id of a ledger row, and no two bear the same."""
    known = {attempt.id for attempt in evidence.attempts}
    for call in evidence.calls:
        if call.attempt_id not in known:
            text = f"call {call.request_id} at {call.started_at:.3f} is not in the ledger"
            yield Violation(Promise.PROVIDER, text, attempt=call.attempt_id or "")
    for attempt_id, calls in evidence.calls_of.items():
        if len(calls) > 1:
            text = f"sent {len(calls)} times"
            yield Violation(Promise.DOUBLED, text, attempt=attempt_id)


def the_ledger_tells_what_happened(evidence: Evidence) -> Iterator[Violation]:
    """What is settled was billed just so; what counts as unbilled was not billed."""
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
        f"{ours} {getattr(attempt, ours)}, the provider says {usage.get(theirs, 0)}"
        for ours, theirs in _TOKENS.items()
        if getattr(attempt, ours) != usage.get(theirs, 0)
    ]
    return "; ".join(wrong)


CHECKS: Final = (every_call_is_in_the_ledger, the_ledger_tells_what_happened)
