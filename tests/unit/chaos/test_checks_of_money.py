"""Bills, charges of cancelled jobs, and what one user costs others: tampered with, and found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checks import violations
from tests.chaos.checks.bill import underbilled_micro
from tests.chaos.checks.others import NO_BUDGET, phantom_micro
from tests.chaos.checks.violation import Promise
from tests.chaos.evidence import Evidence, Opened, Trip
from tests.chaos.injector import Done
from tests.chaos.report import figures, table
from tests.unit.chaos.attacked import CEILING, CHARGE, TEXT, attacked
from tests.unit.chaos.honest import BOB
from tests.unit.chaos.test_checks import add, change, drop
from tests.unit.chaos.test_checks_of_limits import refused, said

GOOD, CUT = 1, 2
"""Where the settled and the cut call stand, of the attempts and of the provider's record."""
TAKEN = 2
STREAMED = -2
USER, ACCOUNT = -2, -1


def of_good_call(**facts: Any) -> Callable[[Evidence], None]:
    return lambda evidence: change(evidence, "attempts", GOOD, **facts)


def of_cut_call(**facts: Any) -> Callable[[Evidence], None]:
    return lambda evidence: change(evidence, "attempts", CUT, **facts)


def of_taken_job(**facts: Any) -> Callable[[Evidence], None]:
    return lambda evidence: change(evidence, "jobs", TAKEN, **facts)


def of_window(index: int, **facts: Any) -> Callable[[Evidence], None]:
    return lambda evidence: change(evidence, "windows", index, **facts)


def billed(evidence: Evidence, **tokens: int) -> None:
    change(evidence, "calls", GOOD, billed={**(evidence.calls[GOOD].billed or {}), **tokens})


def cancelled_by(who: str) -> Callable[[Evidence], None]:
    return of_taken_job(cancelled_by=who)


TAMPERED: dict[str, tuple[Promise, str, Callable[[Evidence], None]]] = {
    "a cut stream is billed above its estimate": (
        Promise.BILL,
        "estimated, counts 101899, the provider bills 101900",
        of_cut_call(cost_micro=101_899),
    ),
    "a failed call was billed": (
        Promise.BILL,
        "failed, counts 0, the provider bills 101900",
        of_cut_call(state="failed", cost_micro=0),
    ),
    "a settled call was billed more": (
        Promise.BILL,
        "settled, counts 129, the provider bills 130",
        of_good_call(cost_micro=129),
    ),
    "an unknown call was billed above its bound": (
        Promise.BILL,
        "unknown, counts 101000, the provider bills 101900",
        of_cut_call(state="unknown", cost_micro=0, bound_micro=101_000),
    ),
    "an attempt was billed twice": (
        Promise.BILL,
        "settled, counts 130, the provider bills 260",
        lambda evidence: add(evidence, "calls", replace(evidence.calls[GOOD], request_id="req-9")),
    ),
    "what was read from the cache was billed": (
        Promise.BILL,
        "settled, counts 130, the provider bills",
        lambda evidence: billed(evidence, cache_read_input_tokens=10_000),
    ),
    "what was written to the cache was billed": (
        Promise.BILL,
        "settled, counts 130, the provider bills",
        lambda evidence: billed(evidence, cache_creation_input_tokens=10_000),
    ),
    "a failed call counts as spend": (
        Promise.BILL,
        "failed, yet counts 5",
        of_cut_call(state="failed", cost_micro=5),
    ),
    "delivered text was free": (
        Promise.CHARGE,
        f"{len(TEXT)} characters were delivered, charged 0",
        of_taken_job(charge_micro=0),
    ),
    "delivered text was charged above the ledger": (
        Promise.CHARGE,
        f"charged {CEILING + 1}, the ledger counts {CEILING}",
        of_taken_job(charge_micro=CEILING + 1),
    ),
    "text of an earlier run was charged": (
        Promise.CHARGE,
        f"charged {CHARGE}, the ledger counts 0",
        of_taken_job(epoch=2),
    ),
    "text that is not stored was charged": (
        Promise.CHARGE,
        f"cancelled by user, no text is stored, charged {CHARGE}",
        of_taken_job(partial_text=""),
    ),
    "a switch's cancellation was charged": (
        Promise.CHARGE,
        f"cancelled by switch, no text is stored, charged {CHARGE}",
        cancelled_by("switch"),
    ),
    "a job that a person of staff cancelled keeps its text": (
        Promise.CHARGE,
        "cancelled by staff, with partial text",
        cancelled_by("staff"),
    ),
    "a job that failed after its user cancelled it keeps its text": (
        Promise.CHARGE,
        "failed by user, with partial text",
        of_taken_job(status="failed"),
    ),
    "text on the screen was not stored": (
        Promise.CHARGE,
        f"{len(TEXT)} characters were on the screen, 0 are stored",
        of_taken_job(partial_text="", charge_micro=0),
    ),
    "other text was stored": (
        Promise.CHARGE,
        f"{len(TEXT)} characters were on the screen",
        of_taken_job(partial_text=TEXT.upper()),
    ),
    "the screen kept other text than is stored": (
        Promise.STREAM,
        "on the screen, stored of it 'All of it.'",
        of_taken_job(partial_text="All of it."),
    ),
    "a settled call is nobody's own spend": (
        Promise.CHARGE,
        "settled (no error) does not count as own spend",
        of_good_call(own_spend=False),
    ),
    "a call that its user cancelled is nobody's own spend": (
        Promise.CHARGE,
        "estimated (cancelled) does not count as own spend",
        of_cut_call(own_spend=False),
    ),
    "a call that a person of staff cancelled counts as own spend": (
        Promise.CHARGE,
        "estimated (cancelled) counts as own spend",
        cancelled_by("staff"),
    ),
    "a failed call counts as own spend": (
        Promise.CHARGE,
        "failed (cancelled) counts as own spend",
        of_cut_call(state="failed", cost_micro=0),
    ),
    "a lost call of a job that its user cancelled counts as own spend": (
        Promise.CHARGE,
        "estimated (lease_lost) counts as own spend",
        of_cut_call(error_code="lease_lost"),
    ),
    "an outage counts as own spend": (
        Promise.CHARGE,
        "unknown (lease_lost) counts as own spend",
        lambda evidence: change(evidence, "attempts", 0, own_spend=True),
    ),
    "own spend passes its cap": (
        Promise.OVERSHOOT,
        "own spend of user summarize:3: 1 above",
        of_window(USER, own_over_micro=1),
    ),
    "own spend passes the cap of the account": (
        Promise.OVERSHOOT,
        "own spend of account 3: 1 above",
        of_window(ACCOUNT, own_over_micro=1),
    ),
    "own spend differs from the ledger": (
        Promise.LEDGER,
        "own spend of window ('account', '3', '2026-11-22') differs by -7 micro-dollars",
        of_window(ACCOUNT, own_spend_micro=CEILING - 7),
    ),
    "own spend is in no window": (
        Promise.LEDGER,
        f"own spend of window ('account', '3', '2026-11-22') differs by -{CEILING}",
        lambda evidence: drop(evidence, "windows", len(evidence.windows) + ACCOUNT),
    ),
    "a window has own spend of no call": (
        Promise.LEDGER,
        f"own spend of window ('account', '{BOB}', '2026-11-22') differs by 7",
        lambda evidence: add(
            *(evidence, "windows"),
            replace(evidence.windows[ACCOUNT], key=str(BOB), spent_micro=0, own_spend_micro=7),
        ),
    ),
    "the charge of a cancelled job is in no window": (
        Promise.LEDGER,
        f"window ('user', 'summarize:3', '2026-11-22') differs by -{CHARGE} micro-dollars",
        of_window(USER, spent_micro=0),
    ),
    "the account lacks a charge": (
        Promise.LEDGER,
        "window ('account', '3', '2026-11-22') differs by -1 micro-dollars",
        of_window(ACCOUNT, spent_micro=CHARGE - 1),
    ),
    "a lost run estimated a call": (
        Promise.STALE,
        "estimated by epoch 0, the job was in 1",
        lambda evidence: change(evidence, "changes", -2, epoch=0),
    ),
    "a check pulled a switch": (
        Promise.OTHERS,
        "cost spike set killed of summarize to True: Too dear. at 33.000",
        lambda evidence: add(
            *(evidence, "trips"),
            Trip("summarize", "killed", "True", "cost spike", "Too dear.", 33.0),
        ),
    ),
    "a check throttled another user": (
        Promise.OTHERS,
        f"user {BOB} was throttled",
        lambda evidence: add(evidence, "throttled", BOB),
    ),
    "a shared cap was full": (
        Promise.OTHERS,
        f"user {BOB} was refused, spend {{'settled': 130, 'estimated': {CEILING}, 'unknown': 900}}",
        lambda evidence: add(evidence, "diary", refused(503, "budget_reached", 40.0)),
    ),
    "a provider that was down opened no breaker": (
        Promise.RUN,
        "down for 12 s, and breakers of 0 models opened",
        lambda evidence: add(evidence, "faults", Done(9, "api_error", "provider", 60.0, 72.0)),
    ),
}


def test_a_run_with_an_attack_that_was_held_is_found_honest() -> None:
    assert violations(attacked()) == []


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_evidence_is_found(name: str) -> None:
    promise, text, tamper = TAMPERED[name]
    evidence = attacked()
    tamper(evidence)
    assert text in said(evidence, promise)


@pytest.mark.parametrize("code", ["budget_spent", "user_limit", "account_limit"])
def test_only_the_malicious_user_may_be_left_without_a_budget(code: str) -> None:
    assert code in NO_BUDGET
    evidence = attacked()
    change(evidence, "jobs", 1, status="failed", error_code=code)
    assert f"user {BOB} has no budget ({code})" in said(evidence, Promise.OTHERS)
    evidence = attacked()
    of_taken_job(status="failed", error_code=code)(evidence)
    assert said(evidence, Promise.OTHERS) == ""


def test_phantom_spend_is_that_of_all_calls_without_a_sure_bill_but_the_attacks() -> None:
    evidence = attacked()
    assert phantom_micro(evidence) == 900
    of_cut_call(user_id=BOB)(evidence)
    assert phantom_micro(evidence) == 900 + CEILING


@pytest.mark.parametrize("kind", ["redis_freeze", "postgres_drop", "switch_hold"])
def test_text_that_a_worker_could_not_know_of_may_be_free(kind: str) -> None:
    evidence = attacked()
    of_taken_job(partial_text="", charge_micro=0)(evidence)
    of_cut_call(own_spend=False)(evidence)
    assert "were on the screen" in said(evidence, Promise.CHARGE)
    add(evidence, "faults", Done(9, kind, "target", 33.0, 35.0))
    assert said(evidence, Promise.CHARGE) == ""


@pytest.mark.parametrize(
    "fault",
    [
        Done(9, "redis_freeze", "redis", 20.0, 22.0),
        Done(9, "redis_freeze", "redis", 37.0, 39.0),
        Done(9, "api_error", "provider", 33.0, 35.0),
    ],
    ids=["long before", "afterwards", "another kind"],
)
def test_a_fault_that_a_worker_had_nothing_of_makes_no_text_free(fault: Done) -> None:
    evidence = attacked()
    of_taken_job(partial_text="", charge_micro=0)(evidence)
    add(evidence, "faults", fault)
    assert "were on the screen" in said(evidence, Promise.CHARGE)


FREE: dict[str, Callable[[Evidence], None]] = {
    "its user did not cancel it": cancelled_by("staff"),
    "its call had ended before": lambda evidence: change(evidence, "changes", -2, tx=24),
    "it was of an earlier run": lambda evidence: change(
        evidence, "diary", STREAMED, ids=["0-0", f"0-{len(TEXT)}"]
    ),
}


@pytest.mark.parametrize("why", FREE)
def test_text_on_the_screen_may_be_free(why: str) -> None:
    for tamper in (lambda _: None, FREE[why]):
        evidence = attacked()
        of_taken_job(partial_text="", charge_micro=0)(evidence)
        of_cut_call(own_spend=False)(evidence)
        tamper(evidence)
        is_found = "were on the screen" in said(evidence, Promise.CHARGE)
        assert is_found == (tamper is not FREE[why])


def test_text_of_a_call_that_a_retry_replaced_may_be_free() -> None:
    evidence = attacked()
    of_taken_job(partial_text="", charge_micro=0, epoch=2)(evidence)
    assert said(evidence, Promise.CHARGE) == ""


def test_stored_text_of_an_earlier_run_is_free() -> None:
    evidence = attacked()
    of_taken_job(charge_micro=0, epoch=2)(evidence)
    of_cut_call(error_code="answer_incomplete", own_spend=False)(evidence)
    assert said(evidence, Promise.CHARGE) == ""


def test_text_of_an_earlier_call_of_the_same_run_may_be_free() -> None:
    evidence = attacked()
    of_taken_job(partial_text="", charge_micro=0)(evidence)
    earlier = replace(evidence.attempts[CUT], id="call-0", number=0, error_code="overloaded")
    add(evidence, "attempts", replace(earlier, state="failed", cost_micro=0, own_spend=False))
    assert said(evidence, Promise.CHARGE) == ""


def test_text_of_a_call_that_failed_may_be_free() -> None:
    evidence = attacked()
    of_cut_call(state="failed", cost_micro=0, own_spend=False)(evidence)
    of_taken_job(partial_text="", charge_micro=0)(evidence)
    assert said(evidence, Promise.CHARGE) == ""


def test_a_settled_call_that_cost_nothing_need_not_be_own_spend() -> None:
    evidence = attacked()
    of_good_call(cost_micro=0, own_spend=False)(evidence)
    assert "own spend" not in said(evidence, Promise.CHARGE)


def test_a_call_that_failed_as_its_user_cancelled_is_no_own_spend() -> None:
    evidence = attacked()
    of_cut_call(own_spend=False, error_code="answer_incomplete")(evidence)
    of_taken_job(partial_text="", charge_micro=0)(evidence)
    assert said(evidence, Promise.CHARGE) == ""


def test_the_last_words_may_be_on_their_way_when_a_call_is_cut() -> None:
    evidence = attacked()
    of_taken_job(partial_text=TEXT[:-40])(evidence)
    assert said(evidence, Promise.CHARGE) == ""


def test_the_malicious_user_may_be_throttled_and_refused() -> None:
    evidence = attacked()
    for problem in ("rate_limited", "budget_exhausted"):
        entry = refused(429, problem, 40.0, user=evidence.attacker)
        add(evidence, "diary", replace(entry, key="k3"))
        assert problem in said(evidence, Promise.HTTP)
    add(evidence, "throttled", evidence.attacker)
    of_window(USER, own_over_micro=0)(evidence)
    assert violations(evidence) == []


def test_a_long_outage_opens_the_breakers_of_several_models() -> None:
    evidence = attacked()
    add(evidence, "faults", Done(9, "silence", "provider", 60.0, 121.0))
    evidence.breakers = [Opened(70.0, "m", "breaker of m: closed -> open")]
    assert "breakers of 1 models opened" in said(evidence, Promise.RUN)
    add(evidence, "breakers", Opened(80.0, "n", "breaker of n: closed -> open"))
    assert "breakers" not in said(evidence, Promise.RUN)


def test_the_figures_tell_of_estimates_trips_and_bills() -> None:
    evidence = attacked()
    of_cut_call(cost_micro=101_890)(evidence)
    add(evidence, "trips", Trip("summarize", "killed", "True", "spike", "Dear.", 33.0))
    made = figures(evidence, violations(evidence), seed=7)
    assert underbilled_micro(evidence) == 10
    assert (made["estimated"], made["tripped_by_check"], made["underbilled"]) == (1, 1, 10)
    assert "of the malicious user" in table(evidence, made)
