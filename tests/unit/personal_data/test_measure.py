"""The measure of the redaction counts hits, misses and false alarms."""

from __future__ import annotations

from aifeature.personal_data import Kind
from evals.guards.figures import Row
from evals.guards.personal_data import HELD_OUT, outcome


def test_few_values_are_missed_and_few_look_alikes_are_changed() -> None:
    got = outcome(HELD_OUT, share=5, harmless=30)
    assert set(got.cases) == set(Kind)
    assert got.hits.total() >= 34, got.misses
    assert got.disguised_hits.total() >= 19, got.misses
    assert got.harmless_changed <= 1, got.misses


def test_row_prints_its_rate_and_interval() -> None:
    row = Row("email, tuned", "recall", 9, 10)
    assert str(row).split() == ["email,", "tuned", "recall", "0.900", "[0.596,", "0.982]", "9/10"]
