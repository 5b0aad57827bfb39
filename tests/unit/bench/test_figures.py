"""The arithmetic of the benches: a wrong figure would look as trustworthy as a right one."""

from __future__ import annotations

import pytest

from tests.bench.figures import percentile, steady_rate
from tests.bench.report import Aim, BrokenRunError, Figure, table


@pytest.mark.parametrize(("percent", "expected"), [(50, 10), (95, 19), (100, 20)])
def test_a_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert percentile(list(range(20, 0, -1)), percent) == expected


def test_nothing_measured_is_a_broken_run() -> None:
    with pytest.raises(BrokenRunError):
        percentile([], 95)


def test_a_steady_rate_leaves_out_how_the_slots_fill_and_drain() -> None:
    filling, steady, draining = [100.0] * 10, [101 + n / 10 for n in range(30)], [900.0] * 10

    assert steady_rate([*draining, *steady, *filling], 10) == pytest.approx(30 / 3.9)


def test_too_few_waves_are_a_broken_run() -> None:
    with pytest.raises(BrokenRunError):
        steady_rate([float(n) for n in range(39)], 10)


def test_the_table_shows_met_and_missed_aims_and_what_broke() -> None:
    aims = (Aim("ratio", "at least", 0.8), Aim("p95_ms", "at most", 50))

    shown = table([Figure("x", {"ratio": 0.81, "p95_ms": 51.0}, aims)], {"y": "lost 3 jobs"})

    ratio, p95 = (next(line for line in shown.splitlines() if key in line) for key in ("ra", "p9"))
    assert ratio.split()[2:] == ["0.81", "at", "least", "0.8", "met"]
    assert p95.split()[2:] == ["51", "at", "most", "50", "missed"]
    assert "y: BROKEN: lost 3 jobs" in shown
