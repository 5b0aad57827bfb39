"""Changes since the weekly run before: prompt, suite, scoring, models, or the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evals.models import Run, WeeklyRun
from evals.weekly.baseline import Baseline

Mark = dict[str, str]


def of(weekly: WeeklyRun, run: Run, base: Baseline) -> list[Mark]:
    """Return the marks of a run in the series of its feature."""
    return [{"kind": kind, "text": text} for kind, text in _found(weekly, run, base)]


def _found(weekly: WeeklyRun, run: Run, base: Baseline) -> Iterator[tuple[str, str]]:
    before = _before(weekly)
    if before is not None and before.run is not None:
        if before.prompt_hash != weekly.prompt_hash:
            yield "prompt", f"{_name(before)} was replaced by {_name(weekly)}."
        if before.run.suite_hash != run.suite_hash:
            yield "suite", "The suite was edited."
        if before.run.scorer_hash != run.scorer_hash or before.run.judge != run.judge:
            yield "scoring", "The scorers or the judge changed."
        if before.run.guard_hash != run.guard_hash:
            yield "guards", "The policies of the guards changed."
    known = base.answered_by or (before.answered_by if before else ())
    if known and (new := new_models(weekly.answered_by, known)):
        yield "model", f"{listed(new)} answered, and before {listed(known)}."
    if base.measures_anew or base.run is not None:
        yield "baseline", base.note


def _before(weekly: WeeklyRun) -> WeeklyRun | None:
    """Return the run before that has a verdict."""
    rows = WeeklyRun.objects.filter(feature=weekly.feature, verdict__isnull=False)
    return rows.filter(pk__lt=weekly.pk).select_related("run").first()


def _name(weekly: WeeklyRun) -> str:
    return f"{weekly.version} ({weekly.prompt_hash[:8]})"


def new_models(answered: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the ids that are not among the known ones."""
    return sorted(set(answered) - set(known))


def listed(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))
