"""Evidence is tampered with in one place; the check that is meant for it must find just that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checks import violations
from tests.chaos.checks.ledger import differences, overshoot_micro
from tests.chaos.checks.rescue import rescues
from tests.chaos.checks.violation import Promise
from tests.chaos.diary import Entry
from tests.chaos.evidence import Alert, Call, Change, Drift, Evidence
from tests.chaos.injector import Done
from tests.chaos.report import accusation, figures, table
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

Tamper = Callable[[Evidence], None]
TAMPERED: dict[str, tuple[Promise, str, Tamper]] = {}


def tampered(promise: Promise, said: str) -> Callable[[Tamper], Tamper]:
    def register(tamper: Tamper) -> Tamper:
        TAMPERED[tamper.__name__] = (promise, said, tamper)
        return tamper

    return register


def change(evidence: Evidence, rows: str, index: int, **facts: Any) -> None:
    found = list(getattr(evidence, rows))
    found[index] = replace(found[index], **facts)
    setattr(evidence, rows, found)


def add(evidence: Evidence, rows: str, *more: Any) -> None:
    setattr(evidence, rows, [*getattr(evidence, rows), *more])


def drop(evidence: Evidence, rows: str, index: int) -> None:
    setattr(evidence, rows, [r for n, r in enumerate(getattr(evidence, rows)) if n != index])


def last(evidence: Evidence, *row: Any) -> None:
    add(evidence, "changes", Change(len(evidence.changes) + 1, *row))


@tampered(Promise.LOST, "got 202, no row")
def a_job_is_lost(evidence: Evidence) -> None:
    drop(evidence, "jobs", 1)


@tampered(Promise.LOST, "still running")
def a_job_does_not_end(evidence: Evidence) -> None:
    change(evidence, "jobs", 1, status="running")


@tampered(Promise.LOST, "key other")
def a_row_has_another_key(evidence: Evidence) -> None:
    change(evidence, "jobs", 1, key="other")


@tampered(Promise.LOST, "is of user 1")
def a_row_is_of_another_user(evidence: Evidence) -> None:
    change(evidence, "jobs", 1, user_id=ANNA)


@tampered(Promise.DOUBLED, "key k1 of user 1 made")
def a_key_made_two_rows(evidence: Evidence) -> None:
    add(evidence, "jobs", replace(evidence.jobs[0], id="other"))


@tampered(Promise.DOUBLED, "key k2 of user 2 made")
def a_replay_was_answered_with_another_job(evidence: Evidence) -> None:
    add(evidence, "diary", Entry(BOB, "submit", "k2", 4.0, 4.1, "other", 202))


@tampered(Promise.DOUBLED, "with another body")
def a_key_was_taken_for_another_body(evidence: Evidence) -> None:
    add(evidence, "diary", Entry(BOB, "conflict", "k2", 60.0, 60.1, GONE, 202))


@tampered(Promise.ANSWER, "never saw it end")
def a_client_never_saw_the_end(evidence: Evidence) -> None:
    drop(evidence, "diary", 4)


@tampered(Promise.ANSWER, "the row says")
def a_client_saw_another_result(evidence: Evidence) -> None:
    body = {**(evidence.diary[6].body or {}), "result": {"summary": "Else."}}
    change(evidence, "diary", 6, body=body)


@tampered(Promise.ANSWER, "the row says")
def a_client_saw_another_charge(evidence: Evidence) -> None:
    body = {**(evidence.diary[6].body or {}), "cost_usd": "0.000131"}
    change(evidence, "diary", 6, body=body)


@tampered(Promise.ANSWER, "after its client had seen it end")
def a_job_came_back_to_life(evidence: Evidence) -> None:
    add(evidence, "diary", Entry(BOB, "poll", "k2", 9.0, 9.1, GONE, 200, status="running"))


@tampered(Promise.ANSWER, "without a reason")
def a_failure_has_no_reason(evidence: Evidence) -> None:
    change(evidence, "jobs", 1, status="failed", error_code="", error_message="")


@tampered(Promise.DOUBLED, "charged 260, its call cost 130")
def a_charge_is_doubled(evidence: Evidence) -> None:
    change(evidence, "jobs", 0, charge_micro=260)


@tampered(Promise.DOUBLED, "yet charged 5")
def a_cancelled_job_is_charged(evidence: Evidence) -> None:
    change(evidence, "jobs", 1, charge_micro=5)


@tampered(Promise.STALE, "no settled call of epoch 3")
def a_result_is_of_an_earlier_epoch(evidence: Evidence) -> None:
    change(evidence, "jobs", 0, epoch=3)


@tampered(Promise.LEDGER, "another call's")
def tokens_are_of_another_call(evidence: Evidence) -> None:
    change(evidence, "jobs", 0, output_tokens=20)


@tampered(Promise.LEDGER, "left open")
def a_call_is_left_open(evidence: Evidence) -> None:
    change(evidence, "attempts", 0, state="started")


@tampered(Promise.LEDGER, "counts 2 calls, the ledger has 1")
def a_ledger_row_is_gone(evidence: Evidence) -> None:
    drop(evidence, "attempts", 0)


@tampered(Promise.LEDGER, "differs by 7 micro-dollars")
def a_window_has_drifted(evidence: Evidence) -> None:
    change(evidence, "windows", 2, spent_micro=1_037)


@tampered(Promise.LEDGER, "differs by -130 micro-dollars")
def a_users_window_was_forgotten(evidence: Evidence) -> None:
    drop(evidence, "windows", 0)


@tampered(Promise.LEAK, "still holds 900")
def a_reservation_was_never_given_back(evidence: Evidence) -> None:
    change(evidence, "windows", 1, held_micro=900)


@tampered(Promise.LEDGER, "('month', '', '2026-11-01') differs by -1030")
def the_month_was_forgotten(evidence: Evidence) -> None:
    drop(evidence, "windows", 3)


@tampered(Promise.LEAK, "the reconciler finds Drift(scope='user'")
def a_drift_was_left(evidence: Evidence) -> None:
    evidence.drifts = [Drift("user", "summarize:1", DAY, 0, 5)]


@tampered(Promise.LEAK, "the reconciler found: 2 windows")
def a_drift_was_repaired_in_silence(evidence: Evidence) -> None:
    evidence.alerts = [Alert("drift", "windows", "2 windows differed.")]


@tampered(Promise.RUN, "feature summarize had no cap")
def a_window_had_no_cap(evidence: Evidence) -> None:
    change(evidence, "windows", 1, cap_micro=None)


@tampered(Promise.OVERSHOOT, "cost 901, reserved 900")
def a_call_cost_more_than_its_bound(evidence: Evidence) -> None:
    change(evidence, "attempts", 1, cost_micro=901)


@tampered(Promise.OVERSHOOT, "1 above its cap")
def a_cap_was_exceeded(evidence: Evidence) -> None:
    change(evidence, "windows", 0, over_micro=1)


@tampered(Promise.PROVIDER, "is not in the ledger")
def a_call_has_no_ledger_row(evidence: Evidence) -> None:
    add(evidence, "calls", Call("req-3", "nobody", 9.0, 9.1, 529, "overloaded", None, None))


@tampered(Promise.DOUBLED, "sent 2 times")
def a_call_was_sent_twice(evidence: Evidence) -> None:
    add(evidence, "calls", replace(evidence.calls[0], request_id="req-3"))


@tampered(Promise.PROVIDER, "never sent")
def a_settled_call_was_never_sent(evidence: Evidence) -> None:
    drop(evidence, "calls", 1)


@tampered(Promise.PROVIDER, "the provider says 134")
def the_provider_bills_more(evidence: Evidence) -> None:
    change(evidence, "calls", 1, usage=usage(output=134))


@tampered(Promise.PROVIDER, "counts as unbilled")
def a_failed_call_was_billed(evidence: Evidence) -> None:
    change(evidence, "attempts", 0, state="failed", cost_micro=900)


@tampered(Promise.STALE, "epoch 2 became 4")
def an_epoch_jumped(evidence: Evidence) -> None:
    row = (23.0, 70, "job", DONE, DONE, 2, 4, "running", "running", "l", "l", ["epoch"])
    found = list(evidence.changes)
    found.insert(8, Change(99, *row))
    evidence.changes = found


@tampered(Promise.STALE, "then ['result'] changed")
def a_job_was_written_after_its_end(evidence: Evidence) -> None:
    row = (60.0, 90, "job", DONE, DONE, 2, 2, "succeeded", "succeeded", "l", "l", ["result"])
    last(evidence, *row)


@tampered(Promise.STALE, "ended as cancelled, then failed")
def a_job_ended_twice(evidence: Evidence) -> None:
    last(evidence, 3.0, 5, "job", GONE, GONE, 0, 0, "cancelled", "failed", "", "", ["status"])


@tampered(Promise.STALE, "a call of epoch 1 began, job running in 2")
def a_call_began_in_a_lost_epoch(evidence: Evidence) -> None:
    change(evidence, "changes", 7, epoch=1)


@tampered(Promise.STALE, "unknown became settled")
def an_unknown_call_was_settled_by_nobody(evidence: Evidence) -> None:
    last(
        *(evidence, 60.0, 90, "attempt", LOST_CALL, DONE, 1, 1, "unknown", "settled"),
        *(None, None, ["state"]),
    )


@tampered(Promise.STALE, "settled by epoch 1, the job was in 2")
def a_call_was_settled_by_a_lost_epoch(evidence: Evidence) -> None:
    change(evidence, "changes", 6, state="settled", tx=66)


@tampered(Promise.STREAM, "on the screen")
def a_stream_was_cut(evidence: Evidence) -> None:
    change(evidence, "diary", 5, text="Two sentences.")


@tampered(Promise.STREAM, "ended with error")
def a_stream_told_another_end(evidence: Evidence) -> None:
    change(evidence, "diary", 5, last_event="error")


@tampered(Promise.STREAM, "no connection told the end")
def a_stream_never_ended(evidence: Evidence) -> None:
    change(evidence, "diary", 5, last_event="")


@tampered(Promise.STALE, "after text of epoch 2 came text of epoch 1")
def a_lost_run_wrote_into_the_stream(evidence: Evidence) -> None:
    change(evidence, "diary", 5, ids=["2-0", "1-30", "2-22"])


@tampered(Promise.HTTP, "ConnectError")
def a_connection_was_refused_without_cause(evidence: Evidence) -> None:
    add(evidence, "diary", Entry(ANNA, "poll", "k1", 30.0, 30.1, error="ConnectError: no"))


@tampered(Promise.HTTP, "ReadError")
def a_connection_broke_during_a_deploy(evidence: Evidence) -> None:
    add(evidence, "faults", Done(4, "rolling_restart", "everything", 29.0, 31.0))
    add(evidence, "diary", Entry(ANNA, "poll", "k1", 30.0, 30.1, error="ReadError: ", reused=True))


@tampered(Promise.HTTP, "ReadTimeout")
def an_answer_never_came(evidence: Evidence) -> None:
    add(evidence, "diary", Entry(ANNA, "poll", "k1", 10.0, 30.0, error="ReadTimeout: "))


@tampered(Promise.HTTP, "503")
def the_service_was_away_without_cause(evidence: Evidence) -> None:
    change(evidence, "diary", 7, begun=30.0, at=30.1)


@tampered(Promise.HTTP, "500")
def a_defect_was_shown(evidence: Evidence) -> None:
    change(evidence, "diary", 7, http=500, problem="internal_error")


@tampered(Promise.HTTP, "Retry-After None")
def a_503_does_not_say_when_to_come_back(evidence: Evidence) -> None:
    change(evidence, "diary", 7, retry_after=None)


@tampered(Promise.HTTP, "no problem document")
def a_503_is_no_problem_document(evidence: Evidence) -> None:
    change(evidence, "diary", 7, problem="no problem document")


@tampered(Promise.RESCUE, "no fault had hit its worker")
def a_job_was_taken_from_a_healthy_worker(evidence: Evidence) -> None:
    change(evidence, "faults", 1, hit={"llm-2": 5.0})


@tampered(Promise.RESCUE, "s after llm_kill")
def a_rescue_took_too_long(evidence: Evidence) -> None:
    for index in (5, 6):
        change(evidence, "changes", index, at=36.0)


@tampered(Promise.RUN, "1 of 2 jobs were accepted")
def a_job_was_never_accepted(evidence: Evidence) -> None:
    change(evidence, "diary", 2, http=409)


@tampered(Promise.RUN, "faults came to pass")
def a_fault_did_not_happen(evidence: Evidence) -> None:
    evidence.planned += 1


@tampered(Promise.RUN, "fault 2, postgres_crash: it would not start")
def a_fault_was_not_lifted(evidence: Evidence) -> None:
    change(evidence, "faults", 2, error="it would not start")


@tampered(Promise.RUN, "llm-1 ended with 1")
def a_process_died_by_itself(evidence: Evidence) -> None:
    evidence.deaths = [death(41.0)]


@tampered(Promise.RUN, "control had not ended 30 s after SIGTERM")
def a_process_did_not_end(evidence: Evidence) -> None:
    add(
        *(evidence, "faults"),
        Done(4, "rolling_restart", "everything", 80.0, 125.0, killed={"control": 112.0}),
    )


def test_an_honest_run_is_found_honest() -> None:
    assert violations(explained()) == []


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_evidence_is_found(name: str) -> None:
    promise, said, tamper = TAMPERED[name]
    evidence = explained()
    tamper(evidence)
    found = violations(evidence)
    assert [v for v in found if v.promise is promise and said in v.text], found


def test_what_the_harness_slept_through_is_not_held_against_the_server() -> None:
    evidence = explained()
    an_answer_never_came(evidence)
    assert violations(evidence)
    add(evidence, "diary", Entry(ANNA, "late", "", 25.0, 29.0))
    assert violations(evidence) == []


def test_a_deploy_in_an_outage_of_the_database_may_end_requests() -> None:
    evidence = explained()
    evidence.planned += 2
    add(evidence, "faults", Done(4, "postgres_drop", "postgres", 26.0, 31.0))
    add(evidence, "diary", Entry(ANNA, "poll", "k1", 29.0, 30.1, error="ReadError: "))
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
    a_job_is_lost(evidence)
    a_window_has_drifted(evidence)
    a_cap_was_exceeded(evidence)
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


def test_the_story_of_a_violation_tells_all_that_is_known() -> None:
    evidence = explained()
    a_charge_is_doubled(evidence)
    told = accusation(evidence, violations(evidence))
    for part in (GOOD_CALL, "llm-2@h", "202", "FAULT  1 llm_kill", "client_gone"):
        assert part in told, told
