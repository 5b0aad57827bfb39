"""The times at which the parts of an answer are due, without a clock."""

from __future__ import annotations

import pytest

from workers.sandbox.pace import Pace
from workers.sandbox.settings import SandboxSettings

ARRIVED = 1_000.0


def due(settings: SandboxSettings, written: int, total: int = 100) -> float:
    return Pace(settings, ARRIVED).due(written, total) - ARRIVED


@pytest.mark.parametrize("total", [1, 100, 5_000])
def test_a_fixed_latency_is_that_of_an_answer_of_any_length(total: int) -> None:
    settings = SandboxSettings(latency_s=2.0, first_byte_s=0.5, tokens_per_second=1)
    assert due(settings, 0, total) == 0.5
    assert due(settings, total, total) == 2.0


def test_its_tokens_are_spread_over_the_time_after_the_first_byte() -> None:
    assert due(SandboxSettings(latency_s=2.0, first_byte_s=1.0), 50) == 1.5


def test_a_first_byte_later_than_the_whole_answer_comes_with_it() -> None:
    assert due(SandboxSettings(latency_s=2.0, first_byte_s=600), 0) == 2.0


def test_an_answer_without_tokens_is_due_at_its_latency() -> None:
    assert due(SandboxSettings(latency_s=2.0), 0, total=0) == 2.0


def test_without_a_latency_the_first_byte_and_the_speed_decide() -> None:
    assert due(SandboxSettings(first_byte_s=0.5, tokens_per_second=10), 30) == 3.5
    assert due(SandboxSettings(), 100) == 0.0
