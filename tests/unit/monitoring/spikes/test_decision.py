"""When spend is a spike: a table, and what holds for all figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeature.policies.spike import (
    FEATURE,
    GLOBAL,
    USER,
    Excess,
    Kind,
    PastDay,
    Spend,
    SpikeRule,
    decide,
    part_of,
)

RULE = SpikeRule(min_spend_micro=100, margin=0.25, burn_hours=8, early_hours=4)
USUAL = PastDay(so_far=500, whole=1000, hour=50)
WEEK = (USUAL,) * 7
DOLLAR = 1_000_000
STOPPED = PastDay(so_far=90_000, whole=90_000, hour=0, tripped=True)
BUSY = (replace(USUAL, hour=100),) * 7


def spend(
    today: int,
    *,
    past: tuple[PastDay, ...] = WEEK,
    hour: int = 0,
    cap: int | None = None,
    hours_left: float = 12,
    dealt_with: int = 0,
    released_at: int = 0,
    half_hour: int = 0,
) -> Spend:
    return Spend(
        today=today,
        latest_hour=hour,
        past=past,
        hours_left=hours_left,
        cap=cap,
        latest_half_hour=half_hour,
        dealt_with=Excess(dealt_with, dealt_with, dealt_with),
        released_at=released_at,
    )


def days(*so_far: int, whole: int = 0) -> tuple[PastDay, ...]:
    return tuple(PastDay(each, whole or 2 * each, 0) for each in so_far)


@pytest.mark.parametrize(
    ("what", "seen", "kind"),
    [
        ("as usual", spend(500), Kind.OK),
        ("twice the usual", spend(1000), Kind.OK),
        ("above twice the usual", spend(1001), Kind.SPIKE),
        ("two days of history", spend(5000, past=days(500, 500)), Kind.OK),
        ("three days of history", spend(5000, past=days(500, 500, 500)), Kind.SPIKE),
        ("days without spend are none", spend(5000, past=days(500, 500, 0, 0, 0, 0)), Kind.OK),
        ("less than the minimum", spend(100, past=days(10, 10, 10)), Kind.OK),
        ("above the minimum", spend(101, past=days(10, 10, 10)), Kind.SPIKE),
        ("in the small hours", spend(250, past=days(0, 0, 0, whole=1000)), Kind.OK),
        ("a quarter of a day in them", spend(251, past=days(0, 0, 0, whole=1000)), Kind.SPIKE),
        ("one wild day moves no median", spend(1001, past=days(*[500] * 6, 90_000)), Kind.SPIKE),
        ("dealt with elsewhere", spend(1500, dealt_with=500), Kind.OK),
        ("more than was dealt with", spend(1501, dealt_with=500), Kind.SPIKE),
        ("released, and not doubled", spend(2999, released_at=1500), Kind.OK),
        ("released, and doubled again", spend(3000, released_at=1500), Kind.SPIKE),
        # A cap of 8,000: an hour that burns it takes 1,000.
        ("no history is needed", spend(1000, hour=1000, cap=8000, past=()), Kind.BURN),
        ("a rate that lasts", spend(999, hour=999, cap=8000, past=()), Kind.OK),
        ("no cap", spend(1000, hour=1000, past=()), Kind.OK),
        # Seven hours last until five before midnight.
        ("five hours early", spend(1000, hour=1000, cap=8000, past=(), hours_left=12), Kind.BURN),
        ("four hours early", spend(1000, hour=1000, cap=8000, past=(), hours_left=11), Kind.BURN),
        ("no longer early", spend(1000, hour=1000, cap=8000, past=(), hours_left=10.9), Kind.OK),
        ("less than the minimum in an hour", spend(99, hour=99, cap=100, past=()), Kind.OK),
        ("not twice the usual hour", spend(500, past=BUSY, hour=199, cap=800), Kind.OK),
        ("twice the usual hour", spend(500, past=BUSY, hour=200, cap=800), Kind.BURN),
        ("a spike goes before", spend(1001, hour=1000, cap=8000), Kind.SPIKE),
        ("released", spend(1000, hour=1000, cap=8000, past=(), released_at=900), Kind.OK),
        ("dealt with", spend(1000, hour=1000, cap=8000, past=(), dealt_with=500), Kind.OK),
    ],
)
def test_spikes_and_rates_that_burn_the_cap(what: str, seen: Spend, kind: Kind) -> None:
    assert decide(RULE, seen).kind is kind, what


@pytest.mark.parametrize(
    ("what", "rule", "seen", "kind"),
    [
        ("highest", {"over_highest": 1.5}, spend(1200, past=days(500, 500, 800)), Kind.OK),
        ("over it", {"over_highest": 1.5}, spend(1201, past=days(500, 500, 800)), Kind.SPIKE),
        ("a stopped day", {"over_highest": 1.5}, spend(1001, past=(*WEEK, STOPPED)), Kind.SPIKE),
        ("twice a whole day", {"whole_days": True}, spend(2000), Kind.OK),
        ("above that", {"whole_days": True}, spend(2001), Kind.SPIKE),
    ],
)
def test_options_of_a_rule(what: str, rule: dict[str, float], seen: Spend, kind: Kind) -> None:
    assert decide(replace(RULE, **rule), seen).kind is kind, what  # type: ignore[arg-type]


SURGE = SpikeRule(min_spend_micro=10_000, surge_min_micro=100, surge_margin=0.03)
HALVES = tuple(PastDay(500, 1000, 0, half_hour=each) for each in (10, 20, 30, 40, 50, 100, 900))


@pytest.mark.parametrize(
    ("what", "seen", "kind"),
    [
        ("twice the second highest", spend(500, past=HALVES, half_hour=200), Kind.OK),
        ("above it", spend(500, past=HALVES, half_hour=201), Kind.SURGE),
        ("less than the minimum", spend(500, past=days(1, 1, 1), half_hour=99), Kind.OK),
        ("the minimum", spend(500, past=days(1, 1, 1), half_hour=100), Kind.SURGE),
        ("in quiet hours", spend(500, past=days(0, 0, 0, whole=9000), half_hour=270), Kind.OK),
        ("much in them", spend(500, past=days(0, 0, 0, whole=9000), half_hour=271), Kind.SURGE),
        ("two days of history", spend(500, past=HALVES[:2], half_hour=9_000), Kind.OK),
        ("dealt with", spend(9000, past=HALVES, half_hour=300, dealt_with=100), Kind.OK),
        ("released", spend(500, past=HALVES, half_hour=300, released_at=300), Kind.OK),
    ],
)
def test_surges(what: str, seen: Spend, kind: Kind) -> None:
    assert decide(SURGE, seen).kind is kind, what


@pytest.mark.parametrize("times", [2.01, 7.96])
def test_a_user_above_twice_their_usual_day_is_a_spike(times: float) -> None:
    """However high their highest day was, and however little of the feature's spend it is."""
    past = tuple(PastDay(0, whole, 0) for whole in (2 * DOLLAR,) * 4 + (20 * DOLLAR,))
    assert decide(USER, spend(round(times * 2 * DOLLAR), past=past)).kind is Kind.SPIKE
    assert decide(USER, spend(4 * DOLLAR, past=past)).kind is Kind.OK


def test_a_verdict_has_its_figures() -> None:
    verdict = decide(RULE, spend(2000, hour=400, cap=3000, dealt_with=100))
    assert (verdict.today, verdict.baseline, verdict.limit) == (1900, 500, 1000)
    assert (verdict.ratio, verdict.excess) == (3.8, 1400)
    assert (verdict.latest_hour, verdict.cap, verdict.cap_lasts_h) == (300, 3000, 1100 / 300)


def test_without_history_there_is_no_ratio_and_all_is_excess() -> None:
    verdict = decide(RULE, spend(2000, past=()))
    assert (verdict.baseline, verdict.ratio, verdict.excess) == (None, None, 2000)
    assert verdict.limit == RULE.min_spend_micro


def test_a_verdict_has_the_excess_of_each_period() -> None:
    past = tuple(replace(day, hour=50) for day in HALVES)
    verdict = decide(RULE, spend(800, past=past, hour=190, half_hour=170))
    assert verdict.above == Excess(today=300, hour=140, half_hour=70)


def test_more_dealt_with_than_was_spent_leaves_nothing() -> None:
    verdict = decide(RULE, spend(10, hour=5, half_hour=3, dealt_with=100))
    assert (verdict.today, verdict.latest_hour, verdict.latest_half_hour) == (0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "part"), [(Kind.SPIKE, 1), (Kind.BURN, 2), (Kind.SURGE, 3), (Kind.SHARE, 1)]
)
def test_each_kind_is_about_a_stretch_of_time(kind: Kind, part: int) -> None:
    assert part_of(Excess(today=1, hour=2, half_hour=3), kind) == part


def dollars(
    today: float,
    *so_far: float,
    whole: float = 0,
    hour: float = 0,
    half_hour: float = 0,
    cap: float | None = None,
) -> Spend:
    """Spend in dollars, beside past days with so much until now, and half of it in all."""
    micro = [round(each * DOLLAR) for each in so_far]
    return spend(
        round(today * DOLLAR),
        past=days(*micro, whole=round(whole * DOLLAR)),
        hour=round(hour * DOLLAR),
        half_hour=round(half_hour * DOLLAR),
        cap=None if cap is None else round(cap * DOLLAR),
    )


@pytest.mark.parametrize(
    ("what", "rule", "harmless", "found"),
    [
        ("least of a user", USER, dollars(3, 0.5, 0.5, 0.5), dollars(3.01, 0.5, 0.5, 0.5)),
        ("least of a feature", FEATURE, dollars(6, 1, 1, 1), dollars(6.01, 1, 1, 1)),
        ("least of all", GLOBAL, dollars(10, 1, 1, 1), dollars(10.01, 1, 1, 1)),
        ("margin", FEATURE, dollars(40, 0, 0, 0, whole=100), dollars(40.01, 0, 0, 0, whole=100)),
        ("margin", GLOBAL, dollars(40, 0, 0, 0, whole=100), dollars(41, 0, 0, 0, whole=100)),
        ("highest day", FEATURE, dollars(45, 10, 10, 30), dollars(45.01, 10, 10, 30)),
        ("highest day", GLOBAL, dollars(45, 10, 10, 30), dollars(45.01, 10, 10, 30)),
        ("surge", FEATURE, dollars(2, 1, 1, 1, half_hour=0.49), dollars(2, 1, 1, 1, half_hour=0.5)),
    ],
)
def test_the_rule_of_each_scope(what: str, rule: SpikeRule, harmless: Spend, found: Spend) -> None:
    assert decide(rule, harmless).kind is Kind.OK, what
    assert decide(rule, found).kind is not Kind.OK, what


def test_users_and_the_whole_have_no_surges_and_users_burn_no_cap() -> None:
    for rule in (USER, GLOBAL):
        assert decide(rule, dollars(9, 6, 6, 6, half_hour=9)).kind is Kind.OK
    burning = dollars(9, 6, 6, 6, hour=9, cap=10)
    assert decide(FEATURE, burning).kind is Kind.BURN
    assert decide(USER, burning).kind is Kind.OK


def test_small_things_are_judged_with_more_patience_than_large_ones() -> None:
    assert USER.min_spend_micro < FEATURE.min_spend_micro < GLOBAL.min_spend_micro
    assert (USER.margin, USER.over_highest, USER.surge_min_micro) == (0, 0, None)
    assert {rule.factor for rule in (USER, FEATURE, GLOBAL)} == {2}


amounts = st.integers(0, 10**9)
past_days = st.lists(
    st.builds(
        lambda so_far, rest, share: PastDay(
            so_far, so_far + rest, round(so_far * share), round(so_far * share / 2)
        ),
        amounts,
        amounts,
        st.floats(0, 1),
    ),
    max_size=7,
).map(tuple)
spends = st.builds(
    Spend,
    today=amounts,
    latest_hour=amounts,
    past=past_days,
    hours_left=st.floats(0, 24),
    cap=st.none() | amounts,
    latest_half_hour=amounts,
    dealt_with=st.builds(Excess, amounts, amounts, amounts),
    released_at=amounts,
)
rules = st.sampled_from([USER, FEATURE, GLOBAL, RULE])


@given(rule=rules, seen=spends, more=amounts)
def test_more_spend_never_makes_it_harmless(rule: SpikeRule, seen: Spend, more: int) -> None:
    before = decide(rule, seen).kind
    grown = replace(
        seen,
        today=seen.today + more,
        latest_hour=seen.latest_hour + more,
        latest_half_hour=seen.latest_half_hour + more,
    )
    after = decide(rule, grown).kind
    assert before is Kind.OK or after is not Kind.OK
    assert before is not Kind.SPIKE or after is Kind.SPIKE


@given(rule=rules, seen=spends, factor=st.floats(1, 100))
def test_a_higher_baseline_never_makes_a_spike(rule: SpikeRule, seen: Spend, factor: float) -> None:
    seen = replace(seen, cap=None)
    past = tuple(
        PastDay(
            so_far=round(day.so_far * factor),
            whole=round(day.whole * factor),
            hour=round(day.hour * factor),
            half_hour=round(day.half_hour * factor),
        )
        for day in seen.past
    )
    if decide(rule, replace(seen, past=past)).kind is Kind.SPIKE:
        assert decide(rule, seen).kind is Kind.SPIKE


@given(rule=rules, seen=spends)
def test_nothing_below_the_minimum_is_ever_stopped(rule: SpikeRule, seen: Spend) -> None:
    verdict = decide(rule, seen)
    if verdict.kind is not Kind.OK:
        least = min(rule.min_spend_micro, rule.surge_min_micro or rule.min_spend_micro)
        assert max(verdict.today, verdict.latest_hour, verdict.latest_half_hour) >= least


@given(rule=rules, seen=spends)
def test_a_spike_is_above_twice_the_baseline_and_above_the_limit(
    rule: SpikeRule, seen: Spend
) -> None:
    verdict = decide(rule, seen)
    if verdict.kind is Kind.SPIKE:
        assert verdict.baseline is not None
        assert verdict.today > max(2 * verdict.baseline, verdict.limit)
