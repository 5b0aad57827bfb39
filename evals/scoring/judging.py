"""The judge's part: what it is shown, and how its scores are read."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aifeature.spec import Feature
from aifeature.suites import Case

LEAST_OF_EACH: Final = 3
"""A criterion below this fails the case, however good the others are."""

HIGHEST: Final = 5


@dataclass(frozen=True, slots=True)
class Read:
    """A judgement as figures."""

    passed: bool
    score: float
    """0 to 1: the mean over the criteria, of which 1 is 0 and 5 is 1."""


def exhibit(
    feature: Feature,
    case: Case,
    output: Mapping[str, Any],
    criteria: Mapping[str, str],
    *,
    nonce: str,
) -> dict[str, Any]:
    """Return the judge's input. The order of the criteria is random, so that none profits."""
    names = list(criteria)
    random.Random(nonce).shuffle(names)  # noqa: S311 (no secret)
    return {
        "task": feature.description,
        "given": json.dumps(case.input, ensure_ascii=False),
        "reference": case.expected.reference or "",
        "output": json.dumps(output, ensure_ascii=False),
        "criteria": [{"name": name, "rubric": criteria[name]} for name in names],
    }


def read(scores: Sequence[Mapping[str, Any]], *, least: float) -> Read:
    """Return the verdict of a judgement. `least` is the least mean with which a case passes."""
    values = [int(each["score"]) for each in scores]
    mean = sum(values) / len(values)
    return Read(
        passed=mean >= least and min(values) >= LEAST_OF_EACH,
        score=(mean - 1) / (HIGHEST - 1),
    )
