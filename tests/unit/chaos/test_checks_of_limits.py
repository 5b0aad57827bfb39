"""Refusals and flips: evidence is tampered with in one place, and just that must be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from aifeature import registry
from aifeature.policies.release import is_released
from aifeature.services.execution import job_run
from aifeature.services.texts import CANCELLED_BY_SWITCH
from tests.bench.flood import Flooded
from tests.chaos.checks import violations
from tests.chaos.checks.limits import ADDRESS_FACTOR, SITE_BURST
from tests.chaos.checks.switch import LEAST_CALL_S, aborted_by_flips
from tests.chaos.checks.violation import Promise
from tests.chaos.diary import Deed, Entry
from tests.chaos.evidence import Alert, Cap, Evidence, Opened
from tests.chaos.flips import PARTLY_PERCENT, Flip
from tests.chaos.injector import Done
from tests.unit.chaos.honest import ANNA, BOB, DONE, GONE, LEFT, MODEL, explained
from tests.unit.chaos.test_checks import add, change

Tamper = Callable[[Evidence], None]


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


def refused(http: int, problem: str, at: float, *, user: int = BOB) -> Entry:
    return Entry(
        *(user, "submit", "k2", at, at + 0.1),
        http=http,
        problem=problem,
        retry_after="5",
        left='"requests";r=0;t=60',
    )


def said(evidence: Evidence, promise: Promise) -> str:
    return "\n".join(v.text for v in violations(evidence) if v.promise is promise)


@pytest.mark.parametrize("cancels", [False, True])
def test_a_flip_in_which_all_stood_still_is_found_honest(cancels: bool) -> None:
    assert violations(flipped(cancels=cancels)) == []


def test_a_call_that_begins_while_stopped_is_found() -> None:
    evidence = flipped()
    sent(evidence, 101.2, 101.5)
    assert "a call begins 1.20 s after it" in said(evidence, Promise.SWITCH)


def test_a_call_that_goes_on_longer_than_promised_is_found() -> None:
    for begun in (90.0, 100.5):
        evidence = flipped()
        sent(evidence, begun, 100.9)
        assert said(evidence, Promise.SWITCH) == ""
        sent(evidence, begun, 101.1)
        assert "still under way, ends 1.10 s after it" in said(evidence, Promise.SWITCH)


def test_without_redis_it_may_take_two_seconds() -> None:
    evidence = flipped()
    sent(evidence, 100.5, 101.9)
    assert said(evidence, Promise.SWITCH)
    add(evidence, "faults", Done(10, "redis_drop", "redis", 95.0, 101.0))
    assert said(evidence, Promise.SWITCH) == ""
    sent(evidence, 100.5, 102.1)
    assert said(evidence, Promise.SWITCH)


def test_a_worker_that_sleeps_or_cannot_hear_is_not_blamed_another_is() -> None:
    evidence = flipped()
    sent(evidence, 100.5, 104.0)
    add(evidence, "faults", Done(10, "llm_stop", "llm-1", 95.0, 113.0))
    assert said(evidence, Promise.SWITCH)
    change(evidence, "faults", -1, target="llm-2")
    assert said(evidence, Promise.SWITCH) == ""
    change(evidence, "faults", -1, kind="postgres_freeze", target="postgres")
    assert said(evidence, Promise.SWITCH) == ""
    change(evidence, "faults", -1, ended=92.0)
    assert said(evidence, Promise.SWITCH)


def test_who_is_let_in_first_may_send_while_others_may_not() -> None:
    inside = next(n for n in range(1, 99) if is_released("summarize", n, percent=PARTLY_PERCENT))
    evidence = flipped()
    sent(evidence, 111.0, 112.0)
    assert said(evidence, Promise.SWITCH)
    for user_id in (inside, None):
        change(evidence, "attempts", 1, user_id=user_id)
        assert said(evidence, Promise.SWITCH) == ""
    sent(evidence, 109.0, 112.0)
    assert said(evidence, Promise.SWITCH), "calls of nobody are stopped until then"


def test_a_job_that_is_accepted_while_stopped_is_found() -> None:
    evidence = flipped()
    created(evidence, 100.9)
    assert said(evidence, Promise.SWITCH) == ""
    created(evidence, 101.1)
    assert "accepted 1.10 s after" in said(evidence, Promise.SWITCH)
    add(evidence, "faults", Done(10, "web_stop", "web", 99.0, 101.0))
    assert said(evidence, Promise.SWITCH) == ""


def test_a_job_that_was_to_be_cancelled_and_was_not_is_found() -> None:
    evidence = flipped(cancels=True)
    change(evidence, "jobs", 0, finished_at=101.5)
    assert "succeeded, though switch_cancel" not in said(evidence, Promise.SWITCH)
    evidence = flipped(cancels=True)
    change(evidence, "jobs", 0, finished_at=113.5)
    sent(evidence, 113.2, 113.4)
    assert "succeeded, though switch_cancel" in said(evidence, Promise.SWITCH)
    held = flipped()
    change(held, "jobs", 0, finished_at=120.0)
    assert "though" not in said(held, Promise.SWITCH)


def test_the_checks_go_by_the_least_time_of_a_call() -> None:
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
    assert ("failed, though switch_cancel" in said(evidence, Promise.SWITCH)) == is_found


def test_a_cancelled_job_that_tells_another_story_is_found() -> None:
    evidence = flipped(cancels=True)
    change(evidence, "jobs", 1, finished_at=101.0, error_message=CANCELLED_BY_SWITCH)
    assert said(evidence, Promise.SWITCH) == ""
    change(evidence, "jobs", 1, error_message="Gone.")
    assert "told 'Gone.'" in said(evidence, Promise.SWITCH)


def test_a_flip_that_burns_a_try_is_found() -> None:
    evidence = flipped()
    change(evidence, "changes", 5, changed=["epoch", "tries"])
    assert said(evidence, Promise.SWITCH) == ""
    change(evidence, "attempts", 0, error_code="cancelled")
    assert "our own abort counts as a try" in said(evidence, Promise.SWITCH)


def test_a_flip_that_opens_a_breaker_is_found() -> None:
    evidence = flipped()
    evidence.breakers = [Opened(100.5, MODEL, "breaker of m: closed -> open")]
    assert "breaker of m" in said(evidence, Promise.SWITCH)
    add(evidence, "faults", Done(10, "rate_limited", "provider", 90.0, 99.0))
    assert "breaker of m" in said(evidence, Promise.SWITCH)
    add(evidence, "faults", Done(11, "overloaded", "provider", 90.0, 99.0))
    assert said(evidence, Promise.SWITCH) == ""


def test_a_breaker_may_open_when_enough_calls_are_known_and_no_later() -> None:
    evidence = flipped()
    evidence.breakers = [Opened(100.5, MODEL, "breaker of m: closed -> open")]
    add(evidence, "faults", Done(11, "overloaded", "provider", 20.0, 22.0))
    assert said(evidence, Promise.SWITCH) == "", "its last ten calls reach back to the storm"
    call = evidence.attempts[0]
    for n in range(10):
        add(evidence, "attempts", replace(call, id=f"late {n}", ended_at=100.0 - n))
    assert "breaker of m" in said(evidence, Promise.SWITCH)


@pytest.mark.parametrize("kind", ["kill_switch", "overrun"])
def test_a_switch_that_nobody_pulled_is_found(kind: str) -> None:
    evidence = explained()
    evidence.alerts = [Alert(kind, "summarize", "Too dear.")]
    assert "Too dear." in said(evidence, Promise.SWITCH)


def test_what_a_flip_aborted_is_counted() -> None:
    evidence = flipped()
    assert aborted_by_flips(evidence) == 0
    change(evidence, "attempts", 1, error_code="cancelled", ended_at=100.4)
    assert aborted_by_flips(evidence) == 1


def test_a_pause_outside_of_a_flip_is_found() -> None:
    evidence = flipped()
    add(evidence, "diary", refused(503, "feature_paused", 105.0))
    add(evidence, "diary", refused(503, "feature_paused", 114.4))
    assert said(evidence, Promise.HTTP) == ""
    add(evidence, "diary", refused(503, "feature_paused", 115.0))
    assert "503 feature_paused of user 2 at 115.000" in said(evidence, Promise.HTTP)


def test_a_rate_that_held_somebody_up_too_soon_is_found() -> None:
    evidence = explained()
    add(evidence, "diary", refused(429, "rate_limited", 30.0))
    assert "429 rate_limited of user 2 at 30.000" in said(evidence, Promise.HTTP)
    add(evidence, "diary", Entry(BOB, "submit", "k2", 20.0, 20.1, GONE, 202, left=LEFT))
    assert said(evidence, Promise.HTTP) == ""
    change(evidence, "diary", -2, begun=63.2, at=63.3)  # the first of the two was a minute ago
    assert said(evidence, Promise.HTTP)
    add(evidence, "faults", Done(10, "valkey_kill", "redis", 60.0, 61.0))
    assert said(evidence, Promise.HTTP) == ""


def test_a_rate_that_held_up_somebody_who_has_none_is_found() -> None:
    evidence = explained()
    for n in range(9):
        add(evidence, "diary", Entry(ANNA, "submit", "k1", 20.0 + n, 20.1, DONE, 202, left=LEFT))
    add(evidence, "diary", refused(429, "rate_limited", 30.0, user=ANNA))
    assert "of user 1" in said(evidence, Promise.HTTP)


def test_a_budget_that_was_not_used_up_is_found() -> None:
    evidence = explained()
    add(evidence, "diary", refused(429, "budget_exhausted", 30.0, user=ANNA))
    assert "budget_exhausted of user 1" in said(evidence, Promise.HTTP)
    change(evidence, "windows", 0, cap_micro=130)
    assert said(evidence, Promise.HTTP) == ""


def test_a_cap_that_was_not_reached_is_found() -> None:
    evidence = explained()
    add(evidence, "diary", refused(503, "budget_reached", 30.0))
    assert "budget_reached" in said(evidence, Promise.HTTP)
    evidence.caps = [Cap("month", 1.0, 1_030)]
    assert said(evidence, Promise.HTTP) == ""
    evidence.caps = [Cap("month", 1.0, 1_030), Cap("month", 20.0, 2_000)]
    assert said(evidence, Promise.HTTP)


@pytest.mark.parametrize(("http", "code"), [(503, "overloaded"), (429, "slow_down")])
def test_a_refusal_that_nothing_explains_is_found(http: int, code: str) -> None:
    evidence = explained()
    add(evidence, "diary", refused(http, code, 200.0))
    assert f"{http} {code}" in said(evidence, Promise.HTTP)


@pytest.mark.parametrize(("at", "found"), [(39.0, True), (61.0, False), (63.0, True)])
def test_a_site_may_be_busy_for_a_while_after_an_outage(at: float, *, found: bool) -> None:
    evidence = explained()
    evidence.faults = [Done(2, "postgres_crash", "postgres", 40.0, 42.0)]
    evidence.planned = 1
    add(evidence, "diary", refused(503, "overloaded", at))
    assert ("503 overloaded" in said(evidence, Promise.HTTP)) is found


def test_an_answer_that_does_not_tell_what_is_left_is_found() -> None:
    evidence = explained()
    change(evidence, "diary", 1, left=None)
    assert "202 , RateLimit: none" in said(evidence, Promise.HTTP)
    change(evidence, "diary", 1, left=LEFT)
    for n in (20.0, 21.0):
        add(evidence, "diary", Entry(BOB, "submit", "k2", n, n + 0.1, GONE, 202, left=LEFT))
    add(evidence, "diary", replace(refused(429, "rate_limited", 30.0), left=LEFT))
    assert "r=29" in said(evidence, Promise.HTTP)


def test_who_gives_up_at_the_end_of_a_budget_is_not_missed() -> None:
    evidence = explained()
    evidence.wanted += 1
    change(evidence, "windows", 0, cap_micro=130)
    assert "2 of 3 jobs were accepted" in said(evidence, Promise.RUN)
    given_up = replace(refused(429, "budget_exhausted", 30.0, user=ANNA), key="k3")
    add(evidence, "diary", given_up)
    assert violations(evidence) == []


def test_a_rescue_waits_for_the_release() -> None:
    evidence = explained()
    for index in (5, 6):
        change(evidence, "changes", index, at=38.0)
    assert said(evidence, Promise.RESCUE)
    flip = Flip("summarize", False, 10.0, 10.0, 30.0, 33.0, 33.0)
    add(evidence, "faults", Done(9, "switch_hold", "switch", 10.0, 33.0, flip=flip))
    assert said(evidence, Promise.RESCUE) == ""


def test_a_call_that_never_ended_is_found() -> None:
    evidence = flipped()
    sent(evidence, 100.2, None)
    assert "ends inf s after it" in said(evidence, Promise.SWITCH)


def site_refused(at: float, *, deed: Deed = "poll") -> Entry:
    left = '"site";r=0;t=5' if deed == "submit" else None
    return replace(refused(429, "rate_limited", at), deed=deed, left=left)


@pytest.mark.parametrize("deed", ["poll", "submit"])
@pytest.mark.parametrize(
    ("sent", "user", "found"),
    [(SITE_BURST - 1, BOB, False), (1, BOB, True), (SITE_BURST, ANNA, True)],
)
def test_the_site_refuses_only_those_who_flood_it(
    sent: int, user: int, *, deed: Deed, found: bool
) -> None:
    evidence = explained()
    for n in range(sent):
        add(evidence, "diary", Entry(user, "poll", "k", 70 + n / 100, 70.5 + n / 100, http=200))
    add(evidence, "diary", site_refused(71.0, deed=deed))
    assert ("rate_limited" in said(evidence, Promise.HTTP)) is found


def test_the_site_may_refuse_all_from_one_address_when_all_together_flood_it() -> None:
    evidence = explained()
    for n in range(SITE_BURST * ADDRESS_FACTOR):
        user = 100 + n % 20
        add(evidence, "diary", Entry(user, "poll", "k", 70 + n / 1000, 70.5, http=200))
    add(evidence, "diary", site_refused(71.0))
    assert said(evidence, Promise.HTTP) == ""


@pytest.mark.parametrize(("burst_ms", "found"), [(149, False), (199, False), (201, True)])
def test_a_flood_must_not_slow_others_down(burst_ms: int, *, found: bool) -> None:
    evidence = explained()
    evidence.flooded = Flooded([0.1] * 100, [burst_ms / 1000] * 100, [])
    assert ("in a flood" in said(evidence, Promise.OTHERS)) is found
    evidence.flooded = Flooded([0.01] * 100, [0.149] * 100, [])
    assert said(evidence, Promise.OTHERS) == ""
