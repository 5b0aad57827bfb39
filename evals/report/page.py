"""The page of a run: one HTML file without outside parts."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aifeature import money, prompt_diff, registry, shares
from aifeature.spec import Scorer
from evals.harness import costs, plan
from evals.models import Run, Sample
from evals.report import contents, facts, figures, matrix, words
from evals.statistics.findings import p_value
from project.env import LOCAL_DIR

FOLDER: Final = Path(__file__).resolve().parent

FILTERS: Final = {
    "changed": "Changed",
    "worse": "Worse",
    "better": "Better",
    "flaky": "Flaky",
    "failed": "Failed",
    "unscored": "Unscored",
    "must": "Must",
    "held_out": "Held out",
    "all": "All",
}

STEP: Final = 10
"""Distance between two marks of an axis, in points."""


def write(run: Run, to: Path | None = None) -> Path:
    """Write the report. See `evals.report.write`."""
    file = to or LOCAL_DIR / "evals" / f"{run.feature}-{run.created_at:%Y-%m-%d}-{run.pk}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(html(run, list(run.samples.all())), encoding="utf-8", errors="replace")
    return file


def html(run: Run, samples: Sequence[Sample]) -> str:
    """Return the report of a run with these samples."""
    cases, about = plan.cases_of(run), plan.about(run)
    feature = registry.find(run.feature)
    suite = feature.suite if feature else None
    columns = matrix.columns(run, samples)
    rows = matrix.rows(cases, samples)
    tags = figures.by_tag(rows, about.meanings, run.verdict)
    is_exact = suite is not None and suite.scorer == Scorer.EXACT
    text: str = (
        _environment()
        .get_template("report.html")
        .render(
            run=run,
            verdict=run.verdict,
            headline=words.headline(run, run.verdict),
            versions=words.versions(run),
            sandbox=words.SANDBOX if run.provider == "sandbox" else "",
            warnings=list(_warnings(run, rows)),
            axis=_axis(run, _floor(run)),
            facts=list(facts.of_run(run, spent_micro=sum(s.cost_micro for s in samples))),
            columns=columns,
            rows=rows,
            empty=matrix.EMPTY,
            filters=_filters(rows, has_baseline=plan.BASELINE in run.arms),
            tags=tags,
            tag_numbers={tag.name: number for number, tag in enumerate(tags)},
            confusions=(
                figures.confusions(cases, samples)
                if is_exact and run.outputs_deleted_at is None
                else []
            ),
            histograms=figures.histograms(about.criteria, samples),
            prompts=_prompts(run),
            costs=list(figures.costs(columns, samples, run.arms)),
            contents=contents.pack(cases, samples),
            alpha=words.ALPHA,
            is_judged=bool(about.criteria),
            written=datetime.now(UTC),
            style=_asset("report.css"),
            script=_asset("report.js"),
            policy=policy(),
        )
    )
    return text


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        percent=shares.percent,
        span=shares.span,
        points=shares.points,
        p_value=p_value,
        count=words.count,
        dollars=_dollars,
        seconds=_seconds,
    )
    return found


def _asset(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def policy() -> str:
    """Return a content policy that allows the report's own script and style, and nothing else."""
    script, style = _hash(_asset("report.js")), _hash(_asset("report.css"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _dollars(micro: float) -> str:
    """Return an amount for people. Small amounts have more digits, such as `$0.0042`."""
    whole = round(micro)
    is_small = 0 < whole < money.MICRO_PER_USD
    return f"${money.rounded(whole, places=4)}" if is_small else costs.dollars(whole)


def _seconds(milliseconds: int | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds / 1000:.1f} s"  # noqa: RUF001 (a dash)


def _warnings(run: Run, rows: Sequence[matrix.Row]) -> Iterator[str]:
    """Yield what limits the meaning of the figures, beyond the reasons of the verdict."""
    if run.verdict is None:
        done = sum(cell.scored + cell.marks.count(matrix.UNSCORED) for cell in _cells(rows))
        total = sum(len(cell.marks) for cell in _cells(rows))
        yield f"{done:,} of {words.count(total, 'repeat')} are done. {run.note}".strip()
    unscored = sum(cell.marks.count(matrix.UNSCORED) for cell in _cells(rows))
    if unscored:
        yield (
            f"{words.count(unscored, 'repeat')} could not be scored, because the machinery failed."
            " They count neither as passes nor as failures."
        )
    if run.outputs_deleted_at is not None:
        yield f"{words.outputs_deleted(run)} Scores, verdict and costs are those of the run."
    if taken_from := run.arms.get(plan.BASELINE, {}).get("taken_from"):
        yield f"The baseline's outputs are those of the run {taken_from}, which paid for them."


def _cells(rows: Sequence[matrix.Row]) -> Iterator[matrix.Cell]:
    for row in rows:
        yield from row.cells.values()


@dataclass(frozen=True, slots=True)
class Mark:
    """A rate on the axis, with its interval if it has one. Places are per cent of the width."""

    arm: str
    title: str
    label: str
    at: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Axis:
    """The rates of the arms on one axis."""

    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    floor: float | None
    floor_label: str


def _floor(run: Run) -> float | None:
    """Return the floor of the verdict. Verdicts of earlier releases lack it: then the code's."""
    if run.verdict and "floor" in run.verdict:
        floor: float | None = run.verdict["floor"]
        return floor
    feature = registry.find(run.feature)
    return feature.suite.floor(run.provider) if feature and feature.suite else None


def _axis(run: Run, floor: float | None) -> Axis | None:
    """Return the intervals of both arms, the plain rate and the floor."""
    verdict = run.verdict
    if verdict is None or not verdict["candidate"]:
        return None
    arms = {arm: verdict[arm] for arm in reversed(facts.COMPARED) if verdict[arm]}
    plain = verdict.get("plain_rate")
    lows: list[float] = [each["interval"]["low"] for each in arms.values()]
    lows += [each for each in (plain, floor) if each is not None]
    start = max(0, math.floor((min(lows) * 100 - 1) / STEP) * STEP)

    def place(share: float) -> float:
        return round(100 * (share * 100 - start) / (100 - start), 2)

    marks = [
        Mark(
            arm,
            f"{run.arms[arm]['version']} {arm}",
            f"{shares.percent(each['rate'])} ({shares.span(each['interval'])})",
            place(each["rate"]),
            place(each["interval"]["low"]),
            place(each["interval"]["high"]),
        )
        for arm, each in arms.items()
    ]
    if plain is not None:
        marks.append(Mark("plain", "plain answer", shares.percent(plain), place(plain), None, None))
    wide = STEP if start >= 100 - 6 * STEP else 2 * STEP
    return Axis(
        marks=tuple(marks),
        ticks=tuple((place(tick / 100), f"{tick}%") for tick in range(start, 101, wide)),
        floor=None if floor is None else place(floor),
        floor_label="" if floor is None else f"floor {words.floor(floor)}",
    )


def _filters(rows: Sequence[matrix.Row], *, has_baseline: bool) -> list[tuple[str, str, int]]:
    """Return the name, title and number of cases of each filter. The first one is the default."""
    counts = {name: sum(name in row.states for row in rows) for name in FILTERS}
    counts["all"] = len(rows)
    names = list(FILTERS)
    if not has_baseline:
        names = ["all", *(n for n in names if n not in ("all", "changed", "worse", "better"))]
    return [(name, FILTERS[name], counts[name]) for name in names]


def _prompts(run: Run) -> tuple[prompt_diff.Part, ...]:
    if run.kind != Run.Kind.COMPARE or plan.BASELINE not in run.arms:
        return ()
    return prompt_diff.parts(run.arms[plan.BASELINE], run.arms[plan.CANDIDATE])
