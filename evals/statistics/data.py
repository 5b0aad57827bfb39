"""The scored outcomes of a suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scored repeat of one case."""

    passed: bool
    score: float
    """From 0 to 1. Without a judge it is 1.0 for a pass, and 0.0 otherwise."""
    at_once: bool | None = True
    """Whether the first answer was valid, so that no further call was paid. None: unknown."""


@dataclass(frozen=True, slots=True)
class CaseOutcomes:
    """The scored repeats of one case, in order, without those that could not be scored."""

    id: str
    group: str
    """Cases of one group have correlated errors. A case alone has its own id as its group."""
    must: bool
    tags: tuple[str, ...]
    baseline: tuple[Outcome, ...]
    candidate: tuple[Outcome, ...]
    fresh: tuple[Outcome, ...] = ()
    """New repeats of the candidate, made because a `must` case failed in all earlier ones."""


def pass_mean(outcomes: tuple[Outcome, ...]) -> float:
    """Return the share of passes among at least one repeat of a case."""
    return sum(each.passed for each in outcomes) / len(outcomes)


def first_answers_are_known(outcomes: Iterable[Outcome]) -> bool:
    """Return whether each repeat shows if its first answer was valid.

    Repeats of earlier releases do not.
    """
    return all(each.at_once is not None for each in outcomes)


def at_once_mean(outcomes: tuple[Outcome, ...]) -> float:
    """Return the share of valid first answers among at least one repeat of a case, all known."""
    return sum(bool(each.at_once) for each in outcomes) / len(outcomes)


def score_mean(outcomes: tuple[Outcome, ...]) -> float:
    """Return the mean score of at least one repeat of a case."""
    return sum(each.score for each in outcomes) / len(outcomes)


def score_lost(outcomes: Sequence[Outcome]) -> float:
    """Return the score that a passing case loses when it fails, from pooled outcomes.

    It is the mean score of passes minus that of failures. Without failures, a failure is taken to
    have half the score of a pass.
    """
    passes = [each.score for each in outcomes if each.passed] or [1.0]
    passed = sum(passes) / len(passes)
    failures = [each.score for each in outcomes if not each.passed] or [passed / 2]
    return passed - sum(failures) / len(failures)
