"""Figures of a run beside its verdict: by tag, by class, scores of the judge, cost and latency."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aifeature.suites import Case
from evals.harness import plan
from evals.models import Sample
from evals.report.matrix import Column, Row

MOST_CLASSES: Final = 20
"""Values of a field above which a confusion matrix shows nothing."""

LONGEST_LABEL: Final = 40
NO_ANSWER: Final = "(no answer)"


@dataclass(frozen=True, slots=True)
class Tag:
    """The results of the cases with one tag."""

    name: str
    meaning: str
    cases: int
    rates: Mapping[str, float]
    """By arm: the mean over cases of the share of passes."""
    points: float | None
    """Candidate minus baseline."""
    p: float | None
    """Two-sided, corrected by Holm."""


def by_tag(
    rows: Sequence[Row], meanings: Mapping[str, str], verdict: Mapping[str, Any] | None
) -> list[Tag]:
    """Return the tags: the largest drop first, and then the lowest rate."""
    results = {tag["tag"]: tag for tag in verdict["tags"]} if verdict else {}
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    cases: Counter[str] = Counter()
    for row in rows:
        for tag in row.case.tags:
            cases[tag] += 1
            for arm, cell in row.cells.items():
                if cell.share is not None:
                    shares[tag][arm].append(cell.share)
    found = []
    for name, number in cases.items():
        rates = {arm: sum(each) / len(each) for arm, each in shares[name].items()}
        result = results.get(name, {})
        points, p = result.get("difference_points"), result.get("p_holm")
        found.append(Tag(name, meanings.get(name, ""), number, rates, points, p))
    return sorted(found, key=lambda t: (t.points or 0.0, t.rates.get(plan.CANDIDATE, 1.0), t.name))


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Precision and recall of one class in one arm."""

    precision: float | None
    """Share of the outputs of this class that are right. None without such outputs."""
    recall: float | None
    """Share of the expected ones that were found. None if it was never expected."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Expected and actual values of one output field."""

    field: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Of the candidate: rows are the expected classes, columns the actual ones."""
    figures: Mapping[str, tuple[ClassFigures, ...]]
    """By arm, in the order of `labels`."""


def confusions(cases: Sequence[Case], samples: Sequence[Sample]) -> list[Confusion]:
    """Return a matrix for each exact field with few values.

    Held-out cases are left out, because labels are outputs. If several values are right, a right
    output counts as expected, and otherwise the first value does.
    """
    shown = {case.id: case for case in cases if not case.held_out}
    pairs: dict[str, dict[str, Counter[tuple[str, str]]]] = defaultdict(
        lambda: defaultdict(Counter)
    )
    for sample in samples:
        case = shown.get(sample.case)
        if case is None or sample.state != Sample.State.SCORED:
            continue
        if sample.arm not in (plan.CANDIDATE, plan.BASELINE):
            continue
        for name, value in case.expected.exact.items():
            right = [_label(each) for each in (value if isinstance(value, list) else [value])]
            given = _label(sample.output.get(name)) if sample.output else NO_ANSWER
            expected = given if given in right else right[0]
            pairs[name][sample.arm][expected, given] += 1
    found = (_confusion(name, by_arm) for name, by_arm in pairs.items())
    return [each for each in found if 1 < len(each.labels) <= MOST_CLASSES]


def _label(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"


def _confusion(name: str, by_arm: Mapping[str, Counter[tuple[str, str]]]) -> Confusion:
    labels = tuple(sorted({label for pairs in by_arm.values() for pair in pairs for label in pair}))
    candidate = by_arm.get(plan.CANDIDATE, Counter())
    return Confusion(
        field=name,
        labels=labels,
        counts=tuple(tuple(candidate[row, column] for column in labels) for row in labels),
        figures={
            arm: tuple(_class(label, pairs) for label in labels) for arm, pairs in by_arm.items()
        },
    )


def _class(label: str, pairs: Counter[tuple[str, str]]) -> ClassFigures:
    hits = pairs[label, label]
    expected = sum(number for (row, _), number in pairs.items() if row == label)
    actual = sum(number for (_, column), number in pairs.items() if column == label)
    return ClassFigures(
        precision=hits / actual if actual else None, recall=hits / expected if expected else None
    )


@dataclass(frozen=True, slots=True)
class Histogram:
    """The judge's scores for one criterion."""

    criterion: str
    meaning: str
    counts: Mapping[str, tuple[int, ...]]
    """By arm: the number of outputs with each score from 1 to 5."""

    @property
    def peak(self) -> float:
        """The largest share of one score among the outputs of an arm."""
        return max(max(counts) / sum(counts) for counts in self.counts.values())

    def mean(self, arm: str) -> float:
        counts = self.counts[arm]
        return sum(score * number for score, number in enumerate(counts, 1)) / sum(counts)


def histograms(criteria: Mapping[str, str], samples: Iterable[Sample]) -> list[Histogram]:
    """Return the distribution of the judge's scores, by criterion and arm."""
    found: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for sample in samples:
        for each in sample.judgement or ():
            found[each["criterion"]][sample.arm][int(each["score"])] += 1
    return [
        Histogram(
            name,
            meaning,
            {arm: tuple(counts[s] for s in range(1, 6)) for arm, counts in found[name].items()},
        )
        for name, meaning in criteria.items()
        if name in found
    ]


@dataclass(frozen=True, slots=True)
class Costs:
    """Cost and latency of one arm."""

    column: Column
    outputs: int
    total_micro: int
    mean_micro: float | None
    """For each output that a call of this run made."""
    p50_ms: int | None
    p95_ms: int | None
    models: tuple[str, ...]
    is_reused: bool
    """Whether an earlier run made and paid its outputs."""


def costs(
    columns: Iterable[Column], samples: Sequence[Sample], arms: Mapping[str, Mapping[str, Any]]
) -> Iterator[Costs]:
    for column in columns:
        own = [sample for sample in samples if sample.arm == column.arm]
        paid = [sample.cost_micro for sample in own if sample.cost_micro]
        times = sorted(s.latency_ms for s in own if s.latency_ms is not None)
        yield Costs(
            column=column,
            outputs=sum(sample.output is not None for sample in own),
            total_micro=sum(paid),
            mean_micro=sum(paid) / len(paid) if paid else None,
            p50_ms=_quantile(times, 0.5),
            p95_ms=_quantile(times, 0.95),
            models=tuple(sorted(_models(own))),
            is_reused="taken_from" in arms.get(column.arm, {}),
        )


def _models(samples: Iterable[Sample]) -> set[str]:
    judges = {f"{sample.judge_model} (judge)" for sample in samples if sample.judge_model}
    return judges | {sample.model for sample in samples if sample.model}


def _quantile(ordered: Sequence[int], share: float) -> int | None:
    """Return the smallest value that at least this share of values does not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None
