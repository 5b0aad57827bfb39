"""Each check finds the evidence that was tampered with in the one place that it guards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checks import violations
from tests.chaos.checks.ledger import differences, overshoot_micro
from tests.chaos.checks.rescue import rescues
from tests.chaos.checks.violation import Promise
from tests.chaos.evidence import Alert, Call, Change, Drift, Evidence
from tests.chaos.injector import Done
from tests.chaos.report import figures, table, violation_report
from tests.chaos.request_log import Entry
from tests.unit.chaos.honest import (
    ANNA,
    BOB,
    DAY,
    DONE,
    GONE,
    GOOD_CALL,
    LOST_CALL,
    death,
    explained,
    usage,
)
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
)


def polled(**facts: Any) -> Tamper:
    """Change the job that its client read at the end."""
    return lambda evidence: change(
        evidence, "requests", 6, body={**(evidence.requests[6].body or {}), **facts}
    )


def written(*row: Any, at: int = 99) -> Tamper:
    """Insert a change of a row at this place, or at the end."""

    def tamper(evidence: Evidence) -> None:
        changes = list(evidence.changes)
        evidence.changes = [*changes[:at], Change(99, *row), *changes[at:]]

    return tamper


def failed(error: str, begun: float, *, took_s: float = 0.1) -> Entry:
    return Entry(ANNA, "poll", "k1", begun, begun + took_s, error=error)


def connection_broke_in_a_deploy(evidence: Evidence) -> None:
    add(evidence, "faults", Done(4, "rolling_restart", "everything", 29.0, 31.0))
    add(evidence, "requests", replace(failed("ReadError: ", 30.0), reused=True))


def rescued_late(evidence: Evidence) -> None:
    for index in (5, 6):
        change(evidence, "changes", index, at=36.0)


TAMPERED: Table = {
    Promise.LOST: {
        "got 202, no row": dropped("jobs", 1),
        "still running": changed("jobs", 1, status="running"),
        "key other": changed("jobs", 1, key="other"),
        "is of user 1": changed("jobs", 1, user_id=ANNA),
    },
    Promise.DOUBLED: {
        "key k1 of user 1 made": copied("jobs", 0, id="other"),
        "key k2 of user 2 made": added(
            "requests", Entry(BOB, "submit", "k2", 4, 4.1, "other", 202)
        ),
        "with another body": added("requests", Entry(BOB, "conflict", "k2", 60, 60.1, GONE, 202)),
        "charged 260, its call cost 130": changed("jobs", 0, charge_micro=260),
        "but charged 5": changed("jobs", 1, charge_micro=5),
        "sent 2 times": copied("calls", 0, request_id="req-3"),
    },
    Promise.ANSWER: {
        "received no end": dropped("requests", 4),
        "'summary': 'Else.'": polled(result={"summary": "Else."}),
        "2, '0.000131'), the row has": polled(cost_usd="0.000131"),
        "after its client had received its end": added(
            "requests", Entry(BOB, "poll", "k2", 9.0, 9.1, GONE, 200, status="running")
        ),
        "without a reason": changed("jobs", 1, status="failed", error_code="", error_message=""),
    },
    Promise.LEDGER: {
        "another call's": changed("jobs", 0, output_tokens=20),
        "left open": changed("attempts", 0, state="started"),
        "counts 2 calls, the ledger has 1": dropped("attempts", 0),
        "differs by 7 micro-dollars": changed("windows", 2, spent_micro=1_037),
        "differs by -130 micro-dollars": dropped("windows", 0),
        "('month', '', '2026-11-01') differs by -1030": dropped("windows", 3),
    },
    Promise.LEAK: {
        "still holds 900": changed("windows", 1, held_micro=900),
        "the reconciler finds Drift(scope='user'": added(
            "drifts", Drift("user", "summarize:1", DAY, 0, 5)
        ),
        "the reconciler found: 2 windows": added(
            "alerts", Alert("drift", "windows", "2 windows differed.")
        ),
    },
    Promise.OVERSHOOT: {
        "cost 901, reserved 900": changed("attempts", 1, cost_micro=901),
        "1 above its cap": changed("windows", 0, over_micro=1),
    },
    Promise.PROVIDER: {
        "is not in the ledger": added(
            "calls", Call("req-3", "unknown", 9.0, 9.1, 529, "overloaded", None, None)
        ),
        "never sent": dropped("calls", 1),
        "the provider reports 134": changed("calls", 1, usage=usage(output=134)),
        "counts as unbilled": changed("attempts", 0, state="failed", cost_micro=900),
    },
    Promise.STALE: {
        "no settled call of epoch 3": changed("jobs", 0, epoch=3),
        "epoch 2 became 4": written(
            *(23.0, 70, "job", DONE, DONE, 2, 4, "running", "running", "l", "l", ["epoch"]), at=8
        ),
        "then ['result'] changed": written(
            *(60.0, 90, "job", DONE, DONE, 2, 2, "succeeded", "succeeded", "l", "l", ["result"])
        ),
        "ended as cancelled, then failed": written(
            *(3.0, 5, "job", GONE, GONE, 0, 0, "cancelled", "failed", "", "", ["status"])
        ),
        "a call of epoch 1 began, job running in 2": changed("changes", 7, epoch=1),
        "unknown became settled": written(
            *(60.0, 90, "attempt", LOST_CALL, DONE, 1, 1, "unknown", "settled"),
            *(None, None, ["state"]),
        ),
        "settled by epoch 1, the job was in 2": changed("changes", 6, state="settled", tx=66),
        "after text of epoch 2 came text of epoch 1": changed(
            "requests", 5, ids=["2-0", "1-30", "2-22"]
        ),
    },
    Promise.STREAM: {
        "on the screen": changed("requests", 5, text="Two sentences."),
        "ended with error": changed("requests", 5, last_event="error"),
        "no connection sent the end": changed("requests", 5, last_event=""),
    },
    Promise.HTTP: {
        "ConnectError": added("requests", failed("ConnectError: no", 30.0)),
        "ReadError": connection_broke_in_a_deploy,
        "ReadTimeout": added("requests", failed("ReadTimeout: ", 10.0, took_s=20.0)),
        "503": changed("requests", 7, begun=30.0, at=30.1),
        "500": changed("requests", 7, http=500, problem="internal_error"),
        "Retry-After None": changed("requests", 7, retry_after=None),
        "no problem document": changed("requests", 7, problem="no problem document"),
    },
    Promise.RESCUE: {
        "no fault had hit its worker": changed("faults", 1, hit={"llm-2": 5.0}),
        "s after llm_kill": rescued_late,
    },
    Promise.RUN: {
        "feature summarize had no cap": changed("windows", 1, cap_micro=None),
        "1 of 2 jobs were accepted": changed("requests", 2, http=409),
        "faults were carried out": dropped("faults", 0),
        "fault 2, postgres_crash: it would not start": changed(
            "faults", 2, error="it would not start"
        ),
        "llm-1 ended with 1": added("deaths", death(41.0)),
        "control had not ended 30 s after SIGTERM": added(
            "faults",
            Done(4, "rolling_restart", "everything", 80.0, 125.0, killed={"control": 112.0}),
        ),
    },
}


def test_an_honest_run_is_found_honest() -> None:
    assert violations(explained()) == []


@pytest.mark.parametrize(("promise", "text"), cases(TAMPERED))
def test_tampered_evidence_is_found(promise: Promise, text: str) -> None:
    evidence = explained()
    TAMPERED[promise][text](evidence)
    assert text in found_of(evidence, promise)


def test_a_time_out_while_the_harness_slept_is_no_violation() -> None:
    evidence = explained()
    TAMPERED[Promise.HTTP]["ReadTimeout"](evidence)
    assert violations(evidence)
    add(evidence, "requests", Entry(ANNA, "late", "", 25.0, 29.0))
    assert violations(evidence) == []


def test_a_deploy_in_an_outage_of_the_database_may_end_requests() -> None:
    evidence = explained()
    evidence.planned += 2
    add(evidence, "faults", Done(4, "postgres_drop", "postgres", 26.0, 31.0))
    add(evidence, "requests", Entry(ANNA, "poll", "k1", 29.0, 30.1, error="ReadError: "))
    assert [v.promise for v in violations(evidence)] == [Promise.HTTP, Promise.RUN]
    add(evidence, "faults", Done(5, "rolling_restart", "everything", 29.0, 31.0))
    assert violations(evidence) == []


def test_a_process_that_finds_no_database_as_it_starts_may_end() -> None:
    evidence = explained()
    evidence.deaths = [death(43.0, lived_s=3.0)]
    assert violations(evidence) == []
    evidence.deaths = [death(43.0, lived_s=0.5)]
    assert violations(evidence)


def test_the_fault_that_ended_a_run_is_the_first_after_its_last_sign_of_life() -> None:
    evidence = explained()
    later = Done(5, "postgres_freeze", "postgres", 20.0, 21.0, {"llm-1": 20.0})
    before = Done(6, "llm_stop", "llm-1", 0.5, 1.0, {"llm-1": 0.5})
    evidence.faults = [before, *evidence.faults, later]
    (rescue,) = rescues(evidence)
    assert rescue.fault is not None
    assert rescue.fault.number == 1
    assert round(rescue.whole_seconds, 1) == 16.9


def test_a_rescue_is_timed_from_the_fault() -> None:
    (rescue,) = rescues(explained())
    assert (rescue.job, round(rescue.seconds, 1)) == (DONE, 16.9)
    assert rescue.fault is not None
    assert rescue.fault.kind == "llm_kill"


def test_an_outage_after_the_fault_puts_the_rescue_off() -> None:
    evidence = explained()
    crash = replace(evidence.faults[2], begun=6.0, ended=20.0)
    evidence.faults = [*evidence.faults[:2], crash, *evidence.faults[3:]]
    (rescue,) = rescues(evidence)
    assert round(rescue.seconds, 1) == 1.9
    assert round(rescue.whole_seconds, 1) == 16.9


def test_an_outage_that_has_not_ended_does_not_undo_the_one_before_it() -> None:
    evidence = explained()
    crash = replace(evidence.faults[2], begun=6.0, ended=20.0)
    switch = Done(9, "switch_hold", "switch", 21.0, 40.0, {})
    evidence.faults = [*evidence.faults[:2], crash, *evidence.faults[3:], switch]
    (rescue,) = rescues(evidence)
    assert round(rescue.seconds, 1) == 1.9


def test_no_worker_rescues_while_one_is_killed_and_the_other_restarts() -> None:
    evidence = explained()
    change(evidence, "faults", 1, ended=20.0)
    restart = Done(4, "rolling_restart", "everything", 3.0, 30.0, {"llm-2": 4.0}, {"llm-2": 19.0})
    add(evidence, "faults", restart)
    (rescue,) = rescues(evidence)
    assert round(rescue.seconds, 1) == 2.9
    change(evidence, "faults", -1, hit={"control": 4.0}, back={"control": 19.0})
    (rescue,) = rescues(evidence)
    assert round(rescue.seconds, 1) == 16.9


def test_the_figures_count_what_is_wrong() -> None:
    evidence = explained()
    dropped("jobs", 1)(evidence)
    change(evidence, "windows", 2, spent_micro=1_037)
    change(evidence, "windows", 0, over_micro=1)
    found = violations(evidence)
    made = figures(evidence, found, seed=7)
    assert (made["seed"], made["accepted"], made["lost"]) == (7, 2, 1)
    assert (made["ledger_diff_micro"], made["overshoot_micro"]) == (7, 1)
    assert differences(evidence) == {("global", "", DAY): 7}
    assert overshoot_micro(evidence) == 1
    assert made["unknown"] == 1
    assert made["rescued"] == 1
    assert made["provider_calls"] == 2
    assert "unknown 1" in table(evidence, made)


def test_a_violation_report_shows_calls_worker_answers_and_faults() -> None:
    evidence = explained()
    change(evidence, "jobs", 0, charge_micro=260)
    story = violation_report(evidence, violations(evidence))
    for part in (GOOD_CALL, "llm-2@h", "202", "FAULT  1 llm_kill", "client_gone"):
        assert part in story, story
