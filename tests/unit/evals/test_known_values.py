"""The tests and intervals return published values, and values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evals.statistics.confusion import confusion
from evals.statistics.intervals import wilson
from evals.statistics.paired import (
    clustered_t,
    difference_interval,
    grouping,
    holm,
    mcnemar,
)
from tests.unit.evals.made import alone


def signs(worse: int, better: int, same: int = 5) -> np.ndarray:
    return np.array([-1.0] * worse + [1.0] * better + [0.0] * same)


@pytest.mark.parametrize(
    ("worse", "better", "p"),
    [
        (5, 0, 1 / 2 / 2**5),
        (8, 2, (1 + 10 + 45 / 2) / 2**10),
        (2, 8, 1 - (1 + 10 + 45 / 2) / 2**10),
        (3, 3, 0.5),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_against_binomials(worse: int, better: int, p: float) -> None:
    assert float(mcnemar(signs(worse, better))) == pytest.approx(p)


def test_two_sided_mcnemar_counts_both_directions() -> None:
    p = 2 * (1 + 10 + 45 / 2) / 2**10
    assert float(mcnemar(signs(8, 2), two_sided=True)) == pytest.approx(p)
    assert float(mcnemar(signs(2, 8), two_sided=True)) == pytest.approx(p)


@pytest.mark.parametrize(
    ("passes", "cases", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_against_newcombe_1998(passes: int, cases: int, low: float, high: float) -> None:
    interval = wilson(passes / cases, cases)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_paired_t_by_hand() -> None:
    """The mean is -1/2 and the standard error 1/2. Student's t of -1 with 3 degrees is 0.1955."""
    differences = np.array([-1.0, -1.0, -1.0, 1.0])
    assert float(clustered_t(differences, alone(4))) == pytest.approx(0.1955, abs=1e-4)


def test_copies_in_a_group_do_not_change_p() -> None:
    differences = np.array([-1.0, -1.0, -1.0, 1.0]).repeat(2)
    assert float(clustered_t(differences, grouping("aabbccdd"))) == pytest.approx(0.1955, abs=1e-4)
    assert float(clustered_t(differences, alone(8))) < 0.1


@pytest.mark.parametrize(("difference", "better"), [(-0.1, False), (0.0, True), (0.1, True)])
def test_equal_differences_have_a_p_value(difference: float, better: bool) -> None:
    """Tenths are inexact, so the computed variance is not exactly zero."""
    differences = np.full(97, difference)
    one_sided = float(clustered_t(differences, alone(97)))
    two_sided = float(clustered_t(differences, alone(97), two_sided=True))
    assert one_sided == pytest.approx(1.0 if better else 0.0)
    assert two_sided == pytest.approx(0.0 if difference else 1.0)


@pytest.mark.parametrize("differing", [1, 4])
def test_few_differing_groups_are_not_significant(differing: int) -> None:
    """Four worse cases of 100 have a t of -2.03, but four coins show heads one time in 16."""
    differences = np.zeros(100)
    differences[:differing] = -1 / 3
    assert float(clustered_t(differences, alone(100))) == max(0.5 ** (differing + 1), 1 / 32)
    assert float(clustered_t(differences, alone(100), two_sided=True)) >= 0.5**differing


def test_interval_of_no_difference_has_a_width() -> None:
    interval = difference_interval(np.zeros(100), alone(100))
    assert interval.high == pytest.approx(0.0362, abs=1e-4), "Clopper and Pearson for 0 of 100"
    assert interval.low == -interval.high


def test_interval_contains_the_mean_symmetrically() -> None:
    """The standard error is 1/4, and the 97.5 % quantile of t with 3 degrees 3.1824."""
    interval = difference_interval(np.array([-1.0, 0.0, 0.0, 0.0]), alone(4))
    assert (interval.low, interval.high) == pytest.approx((-1.0, -0.25 + 3.1824 / 4), abs=1e-4)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_confusion_of_three_classes() -> None:
    found = confusion(["a", "a", "b", "b"], ["a", "b", "b", "c"])
    assert found.labels == ("a", "b", "c")
    assert found.counts == ((1, 1, 0), (0, 1, 1), (0, 0, 0))
    assert [each.precision for each in found.classes] == [1.0, 0.5, 0.0]
    assert [each.recall for each in found.classes] == [0.5, 0.5, None]
    assert confusion(["a"], ["b"]).classes[0].precision is None
    with pytest.raises(ValueError, match="shorter"):
        confusion(["a", "b"], ["a"])
