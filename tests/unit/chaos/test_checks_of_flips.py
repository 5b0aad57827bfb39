"""Each check of a kill switch finds the evidence that was tampered with."""

from __future__ import annotations

import pytest

from aifeature import registry
from aifeature.policies.release import is_released
from aifeature.services.execution import job_run
from aifeature.services.texts import CANCELLED_BY_SWITCH
from tests.chaos.checks import violations
from tests.chaos.checks.switch import LEAST_CALL_S, aborted_by_flips
from tests.chaos.checks.violation import Promise
from tests.chaos.evidence import Alert, Evidence, Opened
from tests.chaos.flips import PARTLY_PERCENT, Flip
from tests.chaos.injector import Done
from tests.unit.chaos.honest import MODEL, explained
from tests.unit.chaos.tampering import add, change, copied, found_of, refused


def flipped(*, cancels: bool = False, slug: str = "summarize") -> Evidence:
    """Stopped at 100 s, released for some at 110 s and for all at 113 s; nothing goes on then."""
    evidence = explained()
    kind = "switch_cancel" if cancels else "switch_hold"
    partly = None if cancels else 110.0
    flip = Flip(slug, cancels, 99.9, 100.0, partly, 113.0, 113.1)
    add(evidence, "faults", Done(9, kind, "switch", 99.8, 113.2, flip=flip))
    evidence.planned += 1
    return evidence


def sent(evidence: Evidence, begun: float, ended: float | None) -> None:
    """The good call was made at another time."""
    change(evidence, "calls", 1, started_at=begun, ended_at=ended)


def created(evidence: Evidence, at: float) -> None:
    change(evidence, "jobs", 1, created_at=at, finished_at=at + 1)


@pytest.mark.parametrize("cancels", [False, True])
def test_a_flip_in_which_all_stood_still_is_found_honest(cancels: bool) -> None:
    assert violations(flipped(cancels=cancels)) == []


@pytest.mark.parametrize(
    ("begun", "ended", "text"),
    [
        (90.0, 100.9, ""),
        (90.0, 101.1, "still in flight, ends 1.10 s after it"),
        (100.5, 100.9, ""),
        (100.5, 101.1, "still in flight, ends 1.10 s after it"),
        (101.2, 101.5, "a call begins 1.20 s after it"),
        (100.2, None, "ends inf s after it"),
    ],
)
def test_a_call_more_than_a_second_after_a_stop_is_found(
    begun: float, ended: float | None, text: str
) -> None:
    evidence = flipped()
    sent(evidence, begun, ended)
    found = found_of(evidence, Promise.SWITCH)
    assert text in found if text else found == ""


def test_without_redis_it_may_take_two_seconds() -> None:
    evidence = flipped()
    sent(evidence, 100.5, 101.9)
    assert found_of(evidence, Promise.SWITCH)
    add(evidence, "faults", Done(10, "redis_drop", "redis", 95.0, 101.0))
    assert found_of(evidence, Promise.SWITCH) == ""
    sent(evidence, 100.5, 102.1)
    assert found_of(evidence, Promise.SWITCH)


def test_a_call_of_a_worker_that_is_stopped_or_cut_off_may_go_on() -> None:
    evidence = flipped()
    sent(evidence, 100.5, 104.0)
    add(evidence, "faults", Done(10, "llm_stop", "llm-1", 95.0, 113.0))
    assert found_of(evidence, Promise.SWITCH)
    change(evidence, "faults", -1, target="llm-2")
    assert found_of(evidence, Promise.SWITCH) == ""
    change(evidence, "faults", -1, kind="postgres_freeze", target="postgres")
    assert found_of(evidence, Promise.SWITCH) == ""
    change(evidence, "faults", -1, ended=92.0)
    assert found_of(evidence, Promise.SWITCH)


def test_a_user_who_is_released_first_may_send_while_others_may_not() -> None:
    inside = next(n for n in range(1, 99) if is_released("summarize", n, percent=PARTLY_PERCENT))
    evidence = flipped()
    sent(evidence, 111.0, 112.0)
    assert found_of(evidence, Promise.SWITCH)
    for user_id in (inside, None):
        change(evidence, "attempts", 1, user_id=user_id)
        assert found_of(evidence, Promise.SWITCH) == ""
    sent(evidence, 109.0, 112.0)
    assert found_of(evidence, Promise.SWITCH), "calls of no user are stopped until then"


def test_a_job_that_is_accepted_while_stopped_is_found() -> None:
    evidence = flipped()
    created(evidence, 100.9)
    assert found_of(evidence, Promise.SWITCH) == ""
    created(evidence, 101.1)
    assert "accepted 1.10 s after" in found_of(evidence, Promise.SWITCH)
    add(evidence, "faults", Done(10, "web_stop", "web", 99.0, 101.0))
    assert found_of(evidence, Promise.SWITCH) == ""


def test_a_job_that_was_to_be_cancelled_and_was_not_is_found() -> None:
    evidence = flipped(cancels=True)
    change(evidence, "jobs", 0, finished_at=101.5)
    assert "succeeded, though switch_cancel" not in found_of(evidence, Promise.SWITCH)
    evidence = flipped(cancels=True)
    change(evidence, "jobs", 0, finished_at=113.5)
    sent(evidence, 113.2, 113.4)
    assert "succeeded, though switch_cancel" in found_of(evidence, Promise.SWITCH)
    held = flipped()
    change(held, "jobs", 0, finished_at=120.0)
    assert "though" not in found_of(held, Promise.SWITCH)


@pytest.mark.parametrize(
    ("call_ended", "call_error", "is_found"),
    [
        (90.0, "answer_garbled", False),
        (90.0, "overloaded", True),  # another reason ended the job
        (113.4, "answer_garbled", True),  # the call was running
    ],
)
def test_an_answer_of_before_the_stop_may_end_its_job_later(
    call_ended: float, call_error: str, is_found: bool
) -> None:
    """While PostgreSQL is away, a worker keeps the outcome."""
    evidence = flipped(cancels=True)
    values = {"status": "failed", "error_code": "answer_garbled", "finished_at": 113.5}
    change(evidence, "jobs", 0, **values)
    change(evidence, "attempts", 1, error_code=call_error)
    sent(evidence, 80.0, call_ended)
    assert ("failed, though switch_cancel" in found_of(evidence, Promise.SWITCH)) == is_found


@pytest.mark.parametrize(
    ("kind", "target", "ended", "is_found"),
    [
        ("postgres_freeze", "postgres", 105.0, False),
        ("llm_stop", "llm-2", 105.0, False),
        ("llm_stop", "llm-1", 105.0, True),  # another worker
        ("postgres_freeze", "postgres", 97.0, True),  # the flip was read by 103 s
        ("provider_freeze", "provider", 105.0, True),  # a worker cancels without the provider
    ],
)
def test_an_answer_of_a_worker_that_could_not_read_the_stop_may_end_its_job(
    kind: str, target: str, ended: float, is_found: bool
) -> None:
    evidence = flipped(cancels=True)
    change(evidence, "jobs", 0, finished_at=106.0)
    sent(evidence, 80.0, 104.0)
    add(evidence, "faults", Done(10, kind, target, 96.0, ended))
    assert ("succeeded, though switch_cancel" in found_of(evidence, Promise.SWITCH)) == is_found


def test_the_least_time_of_a_call_is_that_of_the_product() -> None:
    assert LEAST_CALL_S == job_run.LEAST_CALL_S


@pytest.mark.parametrize(
    ("seconds_left", "call_ended", "finished", "is_found"),
    [
        (LEAST_CALL_S - 1, -200.0, 101.5, False),
        (LEAST_CALL_S + 1, -200.0, 101.5, True),
        (LEAST_CALL_S - 1, 100.5, 101.5, True),  # it was running
        (LEAST_CALL_S - 1, -200.0, 105.1, True),  # and should have been cancelled by then
    ],
)
def test_the_time_of_a_job_that_waits_may_be_over_before_it_is_cancelled(
    seconds_left: float, call_ended: float, finished: float, is_found: bool
) -> None:
    evidence = flipped(cancels=True)
    created_at = finished + seconds_left - registry.get("summarize").limits.deadline_s
    values = {"status": "failed", "created_at": created_at, "finished_at": finished}
    change(evidence, "jobs", 0, **values)
    change(evidence, "attempts", 1, ended_at=call_ended)
    assert ("failed, though switch_cancel" in found_of(evidence, Promise.SWITCH)) == is_found


def test_a_cancelled_job_with_another_message_is_found() -> None:
    evidence = flipped(cancels=True)
    change(evidence, "jobs", 1, finished_at=101.0, error_message=CANCELLED_BY_SWITCH)
    assert found_of(evidence, Promise.SWITCH) == ""
    change(evidence, "jobs", 1, error_message="Gone.")
    assert "with the message 'Gone.'" in found_of(evidence, Promise.SWITCH)


def test_a_flip_that_burns_a_try_is_found() -> None:
    evidence = flipped()
    change(evidence, "changes", 5, changed=["epoch", "tries"])
    assert found_of(evidence, Promise.SWITCH) == ""
    change(evidence, "attempts", 0, error_code="cancelled")
    assert "an abort by the switch counts as a try" in found_of(evidence, Promise.SWITCH)


def test_a_flip_that_opens_a_breaker_is_found() -> None:
    evidence = flipped()
    evidence.breakers = [Opened(100.5, MODEL, "breaker of m: closed -> open")]
    assert "breaker of m" in found_of(evidence, Promise.SWITCH)
    add(evidence, "faults", Done(10, "rate_limited", "provider", 90.0, 99.0))
    assert "breaker of m" in found_of(evidence, Promise.SWITCH)
    add(evidence, "faults", Done(11, "overloaded", "provider", 90.0, 99.0))
    assert found_of(evidence, Promise.SWITCH) == ""


def test_a_breaker_may_open_when_enough_calls_are_known_and_no_later() -> None:
    evidence = flipped()
    evidence.breakers = [Opened(100.5, MODEL, "breaker of m: closed -> open")]
    add(evidence, "faults", Done(11, "overloaded", "provider", 20.0, 22.0))
    assert found_of(evidence, Promise.SWITCH) == "", "its last ten calls reach back to the storm"
    for n in range(10):
        copied("attempts", 0, id=f"late {n}", ended_at=100.0 - n)(evidence)
    assert "breaker of m" in found_of(evidence, Promise.SWITCH)


@pytest.mark.parametrize("kind", ["kill_switch", "overrun"])
def test_a_switch_that_a_check_pulled_is_found(kind: str) -> None:
    evidence = explained()
    evidence.alerts = [Alert(kind, "summarize", "Too dear.")]
    assert "Too dear." in found_of(evidence, Promise.SWITCH)


def test_calls_that_a_flip_aborted_are_counted() -> None:
    evidence = flipped()
    assert aborted_by_flips(evidence) == 0
    change(evidence, "attempts", 1, error_code="cancelled", ended_at=100.4)
    assert aborted_by_flips(evidence) == 1


def test_a_pause_outside_of_a_flip_is_found() -> None:
    evidence = flipped()
    add(evidence, "requests", refused(503, "feature_paused", 105.0))
    add(evidence, "requests", refused(503, "feature_paused", 114.4))
    assert found_of(evidence, Promise.HTTP) == ""
    add(evidence, "requests", refused(503, "feature_paused", 115.0))
    assert "503 feature_paused of user 2 at 115.000" in found_of(evidence, Promise.HTTP)


def test_a_rescue_waits_for_the_release() -> None:
    evidence = explained()
    for index in (5, 6):
        change(evidence, "changes", index, at=38.0)
    assert found_of(evidence, Promise.RESCUE)
    flip = Flip("summarize", False, 10.0, 10.0, 30.0, 33.0, 33.0)
    add(evidence, "faults", Done(9, "switch_hold", "switch", 10.0, 33.0, flip=flip))
    assert found_of(evidence, Promise.RESCUE) == ""
