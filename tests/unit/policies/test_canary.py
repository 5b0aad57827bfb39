"""The users that count in a canary, what follows from its figures, and how often that is wrong."""

from __future__ import annotations

from math import log
from statistics import median

import pytest

from aifeature.policies import canary, canary_simulation
from aifeature.policies.canary import Arm, Metric, Observation
from aifeature.policies.eprocess import Block
from aifeature.reasons import FAULTS, NOT_OBSERVED, OTHER_HARMS, FailureCode

CANDIDATE, LIVE = Arm.CANDIDATE, Arm.LIVE


def rngs(runs: int) -> canary_simulation.Rngs:
    return canary_simulation.rngs(runs, seed=17)


def test_all_metrics_together_have_five_percent() -> None:
    assert sum(canary.ALPHA.values()) == pytest.approx(0.05)
    assert canary.ALPHA[Metric.ERRORS] == 0.02


def test_each_failure_is_a_fault_another_harm_or_no_observation() -> None:
    """A new code is no observation until this list has it."""
    assert {
        *("account_limit", "approval_expired", "budget_spent", "cancelled", "feature_paused"),
        *("feature_removed", "input_invalid", "input_refused", "user_limit"),
    } == NOT_OBSERVED
    assert not FAULTS & OTHER_HARMS
    assert FailureCode.PROVIDER_UNAVAILABLE in FAULTS


def test_a_user_counts_once_as_candidate_and_in_each_step_as_live() -> None:
    """Users 1 and 2 begin as live, and user 1 is moved to the candidate by the second step."""
    seen = [
        Observation(1, 1, LIVE, False),
        Observation(1, 2, LIVE, False),
        Observation(1, 3, CANDIDATE, True),
        Observation(2, 3, CANDIDATE, True),  # counted before
        Observation(2, 1, CANDIDATE, False),
        Observation(2, 2, LIVE, True),
        Observation(3, 1, LIVE, True),  # was a candidate
    ]
    used = list(canary.counted(seen))
    assert [(each.step, each.user, was) for each, was in used] == [
        *((1, 1, False), (1, 2, False), (1, 3, False)),
        *((2, 1, True), (2, 2, True)),
    ]
    assert list(canary.blocks(used, {1: 34, 2: 50, 3: 50})) == [Block(1, 0, 1), Block(0, 1, 1)]


def test_users_seen_before_are_compared_only_among_themselves() -> None:
    used = [(Observation(2, 1, CANDIDATE, True), True), (Observation(2, 2, LIVE, False), False)]
    assert list(canary.blocks(used, {2: 50})) == []
    assert list(canary.blocks([*used, (Observation(2, 3, LIVE, False), True)], {2: 50})) == [
        Block(1, 0, 1)
    ]


def test_outage_of_both_arms_is_no_harm_of_the_candidate() -> None:
    """At 40 % more live users come than blocks take. The oldest ones came before the outage."""
    arms = [(CANDIDATE, CANDIDATE, LIVE, LIVE, LIVE)[i % 5] for i in range(600)]
    seen = [Observation(1, i, arm, i >= 500) for i, arm in enumerate(arms)]
    assert not canary.read(Metric.ERRORS, seen, {1: 40}).is_alarm


def good(users: int) -> list[Observation]:
    """Users of both arms at 50 %, none of them harmed."""
    return [Observation(1, i, (CANDIDATE, LIVE)[i % 2], False) for i in range(2 * users)]


def figures(users: int) -> canary.Figures:
    return canary.figures({Metric.ERRORS: good(users)}, good(users), {1: 50})


def test_promotion_needs_users_time_and_a_small_harm() -> None:
    day = canary.LEAST_S
    assert canary.missing(figures(200), age_s=day, watched_s=day) == []
    (few,) = canary.missing(figures(199), age_s=day, watched_s=day)
    assert "199 of 200 users" in few
    for times in ({"age_s": day - 1, "watched_s": day}, {"age_s": day, "watched_s": day - 1}):
        (early,) = canary.missing(figures(200), **times)
        assert "24 are needed" in early
    bad = [each._replace(harmed=i in {1, 7, 40}) for i, each in enumerate(good(200))]
    one_bad = [each._replace(harmed=i == 40) for i, each in enumerate(good(200))]
    assert canary.missing(
        canary.figures({Metric.ERRORS: one_bad}, bad, {1: 50}), age_s=day, watched_s=day
    )


def test_wrong_split_and_alarm_forbid_a_promotion() -> None:
    day = canary.LEAST_S
    split = [*good(200), *(Observation(1, 1000 + i, LIVE, False) for i in range(300))]
    found = canary.figures({Metric.ERRORS: good(200)}, split, {1: 50})
    assert found.is_split_wrong
    assert canary.missing(found, age_s=day, watched_s=day) == [
        "The numbers of users do not fit the share."
    ]
    slow = [each._replace(harmed=each.arm == CANDIDATE) for each in good(200)]
    found = canary.figures({Metric.ERRORS: good(200), Metric.SLOW: slow}, good(200), {1: 50})
    assert [each.metric for each in found.alarms] == [Metric.SLOW]
    assert canary.missing(found, age_s=day, watched_s=day)


def test_alarm_that_was_passed_between_two_checks_counts() -> None:
    slow = [
        each._replace(harmed=each.user < 24 if each.arm == CANDIDATE else each.user > 24)
        for each in good(300)
    ]
    reading = canary.read(Metric.SLOW, slow, {1: 50})
    assert reading.curve[-1] < log(1 / canary.ALPHA[Metric.SLOW]) <= reading.log_highest
    assert reading.is_alarm


def test_moved_user_counts_once_in_the_sample_ratio() -> None:
    """Their place does not change, so a later step shows nothing new about it."""
    again = [each._replace(step=2) for each in good(50)]
    assert canary.log_ratio([*good(50), *again], {1: 50, 2: 50}) == canary.log_ratio(
        good(50), {1: 50}
    )


def test_false_roll_backs_are_at_most_five_percent_of_simulations() -> None:
    """Users have rates of their own and a heavy-tailed use, and the share is raised twice."""
    world = canary_simulation.World(users=400, jobs=1500)
    rolled = [canary_simulation.is_rolled_back(world, rng) for rng in rngs(40)]
    assert sum(rolled) <= 2


def test_worse_candidates_are_found_soon() -> None:
    for metric, rates in ((Metric.ERRORS, (0.02, 0.08)), (Metric.THUMBS_DOWN, (0.12, 0.25))):
        users = [
            canary_simulation.users_until_found(metric, rates, 10, rng, most=400)
            for rng in rngs(60)
        ]
        assert median(users) <= 120


def test_three_points_of_harm_are_not_promoted() -> None:
    found = [
        canary_simulation.users_until_promoted((0.02, 0.05), 10, rng, most=600, look=50)
        for rng in rngs(40)
    ]
    assert sum(each is not None for each in found) <= 2
