"""The share of a shadow, and the meaning of two judgements."""

from __future__ import annotations

from uuid import UUID

import pytest

from aifeature.policies import pairs

JOBS = [UUID(int=n) for n in range(2_000)]


def chosen(shadow: int, percent: int) -> set[UUID]:
    return {job for job in JOBS if pairs.is_chosen(job, shadow=shadow, percent=percent)}


def test_a_larger_share_only_adds_and_each_shadow_gets_others() -> None:
    few, many = chosen(1, 5), chosen(1, 20)
    assert few < many
    assert len(chosen(1, 100)) == len(JOBS)
    assert 60 < len(few) < 140
    assert few != chosen(2, 5)


def test_a_release_does_not_move_the_choice() -> None:
    assert [job.int for job in JOBS[:60] if pairs.is_chosen(job, shadow=7, percent=5)] == GOLDEN


GOLDEN = [30, 35, 44, 51]


@pytest.mark.parametrize(
    ("live_first", "candidate_first", "verdict"),
    [
        ("second", "first", "candidate"),
        ("first", "second", "live"),
        ("first", "first", "tie"),
        ("second", "second", "tie"),
        ("same", "first", "tie"),
        ("second", "same", "tie"),
        ("same", "same", "tie"),
    ],
)
def test_a_preference_counts_only_in_both_orders(
    live_first: str, candidate_first: str, verdict: str
) -> None:
    assert pairs.verdict(live_first, candidate_first) == verdict
