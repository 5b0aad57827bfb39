"""Each check of refusals finds the evidence that was tampered with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.flood import Flooded
from tests.chaos.checks import violations
from tests.chaos.checks.limits import ADDRESS_FACTOR, SITE_BURST
from tests.chaos.checks.violation import Promise
from tests.chaos.evidence import Cap
from tests.chaos.injector import Done
from tests.chaos.request_log import Action, Entry
from tests.unit.chaos.honest import ANNA, BOB, DONE, GONE, LEFT, explained
from tests.unit.chaos.tampering import add, change, found_of, refused


def test_a_rate_limit_before_its_requests_is_found() -> None:
    evidence = explained()
    add(evidence, "requests", refused(429, "rate_limited", 30.0))
    assert "429 rate_limited of user 2 at 30.000" in found_of(evidence, Promise.HTTP)
    add(evidence, "requests", Entry(BOB, "submit", "k2", 20.0, 20.1, GONE, 202, left=LEFT))
    assert found_of(evidence, Promise.HTTP) == ""
    change(evidence, "requests", -2, begun=63.2, at=63.3)  # the first of the two was a minute ago
    assert found_of(evidence, Promise.HTTP)
    add(evidence, "faults", Done(10, "valkey_kill", "redis", 60.0, 61.0))
    assert found_of(evidence, Promise.HTTP) == ""


def test_a_rate_limit_of_a_user_without_one_is_found() -> None:
    evidence = explained()
    for n in range(9):
        add(evidence, "requests", Entry(ANNA, "submit", "k1", 20.0 + n, 20.1, DONE, 202, left=LEFT))
    add(evidence, "requests", refused(429, "rate_limited", 30.0, user=ANNA))
    assert "of user 1" in found_of(evidence, Promise.HTTP)


def test_a_budget_that_was_not_used_up_is_found() -> None:
    evidence = explained()
    add(evidence, "requests", refused(429, "budget_exhausted", 30.0, user=ANNA))
    assert "budget_exhausted of user 1" in found_of(evidence, Promise.HTTP)
    change(evidence, "windows", 0, cap_micro=130)
    assert found_of(evidence, Promise.HTTP) == ""


@pytest.mark.parametrize(
    ("http", "problem", "caps", "is_found"),
    [
        (503, "budget_reached", [], True),
        (503, "budget_reached", [Cap("month", 1.0, 1_030)], False),
        (503, "budget_reached", [Cap("month", 1.0, 1_030), Cap("month", 20.0, 2_000)], True),
        (503, "overloaded", [], True),
        (429, "slow_down", [], True),
    ],
)
def test_a_refusal_without_a_cause_is_found(
    http: int, problem: str, caps: list[Cap], *, is_found: bool
) -> None:
    evidence = explained()
    evidence.caps = caps
    add(evidence, "requests", refused(http, problem, 30.0))
    assert (f"{http} {problem}" in found_of(evidence, Promise.HTTP)) == is_found


@pytest.mark.parametrize(("at", "found"), [(39.0, True), (61.0, False), (63.0, True)])
def test_a_site_may_be_busy_for_a_while_after_an_outage(at: float, *, found: bool) -> None:
    evidence = explained()
    evidence.faults = [Done(2, "postgres_crash", "postgres", 40.0, 42.0)]
    evidence.planned = 1
    add(evidence, "requests", refused(503, "overloaded", at))
    assert ("503 overloaded" in found_of(evidence, Promise.HTTP)) is found


def test_an_answer_without_the_rate_that_is_left_is_found() -> None:
    evidence = explained()
    change(evidence, "requests", 1, left=None)
    assert "202 , RateLimit: none" in found_of(evidence, Promise.HTTP)
    change(evidence, "requests", 1, left=LEFT)
    for n in (20.0, 21.0):
        add(evidence, "requests", Entry(BOB, "submit", "k2", n, n + 0.1, GONE, 202, left=LEFT))
    add(evidence, "requests", replace(refused(429, "rate_limited", 30.0), left=LEFT))
    assert "r=29" in found_of(evidence, Promise.HTTP)


def test_a_job_given_up_at_the_end_of_a_budget_is_not_missed() -> None:
    evidence = explained()
    evidence.wanted += 1
    change(evidence, "windows", 0, cap_micro=130)
    assert "2 of 3 jobs were accepted" in found_of(evidence, Promise.RUN)
    add(evidence, "requests", replace(refused(429, "budget_exhausted", 30.0, user=ANNA), key="k3"))
    assert violations(evidence) == []


def site_refused(at: float, *, action: Action = "poll") -> Entry:
    left = '"site";r=0;t=5' if action == "submit" else None
    return replace(refused(429, "rate_limited", at), action=action, left=left)


@pytest.mark.parametrize("action", ["poll", "submit"])
@pytest.mark.parametrize(
    ("sent", "user", "found"),
    [(SITE_BURST - 1, BOB, False), (1, BOB, True), (SITE_BURST, ANNA, True)],
)
def test_the_site_refuses_only_those_who_flood_it(
    sent: int, user: int, *, action: Action, found: bool
) -> None:
    evidence = explained()
    for n in range(sent):
        add(evidence, "requests", Entry(user, "poll", "k", 70 + n / 100, 70.5 + n / 100, http=200))
    add(evidence, "requests", site_refused(71.0, action=action))
    assert ("rate_limited" in found_of(evidence, Promise.HTTP)) is found


def test_the_site_may_refuse_all_from_one_address_when_all_together_flood_it() -> None:
    evidence = explained()
    for n in range(SITE_BURST * ADDRESS_FACTOR):
        user = 100 + n % 20
        add(evidence, "requests", Entry(user, "poll", "k", 70 + n / 1000, 70.5, http=200))
    add(evidence, "requests", site_refused(71.0))
    assert found_of(evidence, Promise.HTTP) == ""


@pytest.mark.parametrize(("burst_ms", "found"), [(149, False), (199, False), (201, True)])
def test_a_flood_must_not_slow_others_down(burst_ms: int, *, found: bool) -> None:
    evidence = explained()
    evidence.flooded = Flooded([0.1] * 100, [burst_ms / 1000] * 100, [])
    assert ("in a flood" in found_of(evidence, Promise.OTHERS)) is found
    evidence.flooded = Flooded([0.01] * 100, [0.149] * 100, [])
    assert found_of(evidence, Promise.OTHERS) == ""
