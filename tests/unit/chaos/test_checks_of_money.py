"""Each check of bills, charges and shared caps finds the evidence that was tampered with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checks import violations
from tests.chaos.checks.bill import underbilled_micro
from tests.chaos.checks.others import NO_BUDGET, phantom_micro
from tests.chaos.checks.violation import Promise
from tests.chaos.evidence import Opened, Trip
from tests.chaos.injector import Done
from tests.chaos.report import figures, table
from tests.unit.chaos.attacked import CEILING, CHARGE, TEXT, attacked
from tests.unit.chaos.honest import BOB
from tests.unit.chaos.tampering import (
    Table,
    Tamper,
    add,
    added,
    cases,
    change,
    changed,
    copied,
    dropped,
    found_of,
    refused,
)

GOOD, CUT = 1, 2
"""The places of the settled and the cut call in the ledger and in the provider's record."""
TAKEN, STREAMED = 2, -2
USER, ACCOUNT = -2, -1


def of_good_call(**facts: Any) -> Tamper:
    return changed("attempts", GOOD, **facts)


def of_cut_call(**facts: Any) -> Tamper:
    return changed("attempts", CUT, **facts)


def of_taken_job(**facts: Any) -> Tamper:
    return changed("jobs", TAKEN, **facts)


def billed(**tokens: int) -> Tamper:
    return lambda evidence: change(
        evidence, "calls", GOOD, billed={**(evidence.calls[GOOD].billed or {}), **tokens}
    )


NOTHING_STORED = of_taken_job(partial_text="", charge_micro=0)

TAMPERED: Table = {
    Promise.BILL: {
        "estimated, counts 101899, the provider bills 101900": of_cut_call(cost_micro=101_899),
        "failed, counts 0, the provider bills 101900": of_cut_call(state="failed", cost_micro=0),
        "settled, counts 129, the provider bills 130": of_good_call(cost_micro=129),
        "unknown, counts 101000, the provider bills 101900": of_cut_call(
            state="unknown", cost_micro=0, bound_micro=101_000
        ),
        "settled, counts 130, the provider bills 260": copied("calls", GOOD, request_id="req-9"),
        "settled, counts 130, the provider bills 230": billed(cache_read_input_tokens=10_000),
        "settled, counts 130, the provider bills 1380": billed(cache_creation_input_tokens=10_000),
        "failed, but counts 5": of_cut_call(state="failed", cost_micro=5),
    },
    Promise.CHARGE: {
        f"{len(TEXT)} characters were delivered, charged 0": of_taken_job(charge_micro=0),
        f"charged {CEILING + 1}, the ledger counts {CEILING}": of_taken_job(
            charge_micro=CEILING + 1
        ),
        f"charged {CHARGE}, the ledger counts 0": of_taken_job(epoch=2),
        f"cancelled by user, no text is stored, charged {CHARGE}": of_taken_job(partial_text=""),
        f"cancelled by switch, no text is stored, charged {CHARGE}": of_taken_job(
            cancelled_by="switch"
        ),
        "cancelled by staff, with partial text": of_taken_job(cancelled_by="staff"),
        "failed by user, with partial text": of_taken_job(status="failed"),
        f"{len(TEXT)} characters were on the screen, 0 are stored": NOTHING_STORED,
        f"{len(TEXT)} characters were on the screen": of_taken_job(partial_text=TEXT.upper()),
        "settled (no error) does not count as own spend": of_good_call(own_spend=False),
        "estimated (cancelled) does not count as own spend": of_cut_call(own_spend=False),
        "estimated (cancelled) counts as own spend": of_taken_job(cancelled_by="staff"),
        "failed (cancelled) counts as own spend": of_cut_call(state="failed", cost_micro=0),
        "estimated (lease_lost) counts as own spend": of_cut_call(error_code="lease_lost"),
        "unknown (lease_lost) counts as own spend": changed("attempts", 0, own_spend=True),
    },
    Promise.STREAM: {
        "on the screen, the stored part is 'All of it.'": of_taken_job(partial_text="All of it."),
    },
    Promise.OVERSHOOT: {
        "own spend of user summarize:3: 1 above": changed("windows", USER, own_over_micro=1),
        "own spend of account 3: 1 above": changed("windows", ACCOUNT, own_over_micro=1),
    },
    Promise.LEDGER: {
        "own spend of window ('account', '3', '2026-11-22') differs by -7 micro-dollars": changed(
            "windows", ACCOUNT, own_spend_micro=CEILING - 7
        ),
        f"own spend of window ('account', '3', '2026-11-22') differs by -{CEILING}": dropped(
            "windows", ACCOUNT
        ),
        f"own spend of window ('account', '{BOB}', '2026-11-22') differs by 7": copied(
            "windows", ACCOUNT, key=str(BOB), spent_micro=0, own_spend_micro=7
        ),
        f"window ('user', 'summarize:3', '2026-11-22') differs by -{CHARGE}": changed(
            "windows", USER, spent_micro=0
        ),
        "window ('account', '3', '2026-11-22') differs by -1 micro-dollars": changed(
            "windows", ACCOUNT, spent_micro=CHARGE - 1
        ),
    },
    Promise.STALE: {
        "estimated by epoch 0, the job was in 1": changed("changes", -2, epoch=0),
    },
    Promise.OTHERS: {
        "cost spike set killed of summarize to True: Too dear. at 33.000": added(
            "trips", Trip("summarize", "killed", "True", "cost spike", "Too dear.", 33.0)
        ),
        f"user {BOB} was throttled": added("throttled", BOB),
        f"'settled': 130, 'estimated': {CEILING}, 'unknown': 900": added(
            "requests", refused(503, "budget_reached", 40.0)
        ),
    },
    Promise.RUN: {
        "down for 12 s, and breakers of 0 models opened": added(
            "faults", Done(9, "api_error", "provider", 60.0, 72.0)
        ),
    },
}


def test_a_run_with_an_attack_that_was_held_is_found_honest() -> None:
    assert violations(attacked()) == []


@pytest.mark.parametrize(("promise", "text"), cases(TAMPERED))
def test_tampered_evidence_is_found(promise: Promise, text: str) -> None:
    evidence = attacked()
    TAMPERED[promise][text](evidence)
    assert text in found_of(evidence, promise)


@pytest.mark.parametrize("code", ["budget_spent", "user_limit", "account_limit"])
def test_only_the_malicious_user_may_be_left_without_a_budget(code: str) -> None:
    assert code in NO_BUDGET
    evidence = attacked()
    change(evidence, "jobs", 1, status="failed", error_code=code)
    assert f"user {BOB} has no budget ({code})" in found_of(evidence, Promise.OTHERS)
    evidence = attacked()
    of_taken_job(status="failed", error_code=code)(evidence)
    assert found_of(evidence, Promise.OTHERS) == ""


def test_phantom_spend_is_that_of_all_calls_without_a_sure_bill_but_the_attacks() -> None:
    evidence = attacked()
    assert phantom_micro(evidence) == 900
    of_cut_call(user_id=BOB)(evidence)
    assert phantom_micro(evidence) == 900 + CEILING


@pytest.mark.parametrize("kind", ["redis_freeze", "postgres_drop", "switch_hold"])
def test_text_may_be_free_if_an_outage_hid_it_from_the_worker(kind: str) -> None:
    evidence = attacked()
    NOTHING_STORED(evidence)
    of_cut_call(own_spend=False)(evidence)
    assert "were on the screen" in found_of(evidence, Promise.CHARGE)
    add(evidence, "faults", Done(9, kind, "target", 33.0, 35.0))
    assert found_of(evidence, Promise.CHARGE) == ""


@pytest.mark.parametrize(
    "fault",
    [
        Done(9, "redis_freeze", "redis", 20.0, 22.0),
        Done(9, "redis_freeze", "redis", 37.0, 39.0),
        Done(9, "api_error", "provider", 33.0, 35.0),
    ],
    ids=["long before", "afterwards", "another kind"],
)
def test_a_fault_elsewhere_or_at_another_time_makes_no_text_free(fault: Done) -> None:
    evidence = attacked()
    NOTHING_STORED(evidence)
    add(evidence, "faults", fault)
    assert "were on the screen" in found_of(evidence, Promise.CHARGE)


FREE: dict[str, Tamper] = {
    "its user did not cancel it": of_taken_job(cancelled_by="staff"),
    "its call had ended before": changed("changes", -2, tx=24),
    "it was of an earlier run": changed("requests", STREAMED, ids=["0-0", f"0-{len(TEXT)}"]),
}


@pytest.mark.parametrize("why", FREE)
def test_text_on_the_screen_may_be_free(why: str) -> None:
    for tamper in (lambda _: None, FREE[why]):
        evidence = attacked()
        NOTHING_STORED(evidence)
        of_cut_call(own_spend=False)(evidence)
        tamper(evidence)
        is_found = "were on the screen" in found_of(evidence, Promise.CHARGE)
        assert is_found == (tamper is not FREE[why])


HONEST: dict[str, tuple[Tamper, ...]] = {
    "text of a call that a retry replaced": (
        of_taken_job(partial_text="", charge_micro=0, epoch=2),
    ),
    "stored text of an earlier run": (
        of_taken_job(charge_micro=0, epoch=2),
        of_cut_call(error_code="answer_incomplete", own_spend=False),
    ),
    "text of an earlier call of the same run": (
        NOTHING_STORED,
        copied(
            *("attempts", CUT),
            id="call-0",
            number=0,
            error_code="overloaded",
            state="failed",
            cost_micro=0,
            own_spend=False,
        ),
    ),
    "text of a call that failed": (
        NOTHING_STORED,
        of_cut_call(state="failed", cost_micro=0, own_spend=False),
    ),
    "a call that failed as its user cancelled": (
        NOTHING_STORED,
        of_cut_call(own_spend=False, error_code="answer_incomplete"),
    ),
    "a settled call that cost nothing": (of_good_call(cost_micro=0, own_spend=False),),
    "the last words are on their way when a call is cut": (of_taken_job(partial_text=TEXT[:-40]),),
}


@pytest.mark.parametrize("name", HONEST)
def test_a_charge_is_right(name: str) -> None:
    evidence = attacked()
    for tamper in HONEST[name]:
        tamper(evidence)
    assert found_of(evidence, Promise.CHARGE) == ""


def test_the_malicious_user_may_be_throttled_and_refused() -> None:
    evidence = attacked()
    for problem in ("rate_limited", "budget_exhausted"):
        entry = refused(429, problem, 40.0, user=evidence.attacker)
        add(evidence, "requests", replace(entry, key="k3"))
        assert problem in found_of(evidence, Promise.HTTP)
    add(evidence, "throttled", evidence.attacker)
    changed("windows", USER, own_over_micro=0)(evidence)
    assert violations(evidence) == []


def test_a_long_outage_opens_the_breakers_of_several_models() -> None:
    evidence = attacked()
    add(evidence, "faults", Done(9, "silence", "provider", 60.0, 121.0))
    evidence.breakers = [Opened(70.0, "m", "breaker of m: closed -> open")]
    assert "breakers of 1 models opened" in found_of(evidence, Promise.RUN)
    add(evidence, "breakers", Opened(80.0, "n", "breaker of n: closed -> open"))
    assert "breakers" not in found_of(evidence, Promise.RUN)


def test_the_figures_count_estimates_trips_and_bills() -> None:
    evidence = attacked()
    of_cut_call(cost_micro=101_890)(evidence)
    add(evidence, "trips", Trip("summarize", "killed", "True", "spike", "Dear.", 33.0))
    made = figures(evidence, violations(evidence), seed=7)
    assert underbilled_micro(evidence) == 10
    assert (made["estimated"], made["tripped_by_check"], made["underbilled"]) == (1, 1, 10)
    assert "of the malicious user" in table(evidence, made)
