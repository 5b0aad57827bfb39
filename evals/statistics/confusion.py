"""Confusion matrices of suites with one expected class for each case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """The figures of one class."""

    label: str
    expected: int
    actual: int
    precision: float | None
    """Share of the actual ones that were expected. None if the class never was the output."""
    recall: float | None
    """Share of the expected ones that were found. None if the class was never expected."""


@dataclass(frozen=True, slots=True)
class Confusion:
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Rows are the expected classes, columns the actual ones, both in the order of `labels`."""
    classes: tuple[ClassFigures, ...]


def confusion(expected: Sequence[str], actual: Sequence[str]) -> Confusion:
    """Return the confusion matrix of expected and actual classes.

        >>> confusion(["billing", "bug"], ["billing", "billing"]).counts
        ((1, 0), (1, 0))

    Raises:
        ValueError: The sequences differ in length.
    """
    pairs = Counter(zip(expected, actual, strict=True))
    labels = tuple(sorted({*expected, *actual}))
    counts = tuple(tuple(pairs[row, column] for column in labels) for row in labels)
    classes = []
    for index, label in enumerate(labels):
        wanted = sum(counts[index])
        made = sum(row[index] for row in counts)
        hits = counts[index][index]
        classes.append(
            ClassFigures(
                label,
                wanted,
                made,
                precision=hits / made if made else None,
                recall=hits / wanted if wanted else None,
            )
        )
    return Confusion(labels, counts, tuple(classes))
