"""Results as Markdown for a pull request or a merge request.

Names, reasons and problems may contain text of models and of the author, so `inert` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from aifeature import shares
from evals.harness import costs
from evals.report import words
from evals.report.case_results import CaseResult, Result
from evals.report.inert import code, sentence
from evals.statistics.findings import p_value

TITLE: Final = "## Evaluations"
WORST: Final = 5
NONE: Final = "-"
MOST_REASONS: Final = 20

COLUMNS: Final = (
    "Feature",
    "Verdict",
    "Pass rate (95 %)",
    "Baseline (95 %)",
    "Difference in points (95 %)",
    "p",
    "Smallest visible drop",
    "Cost",
    "Calls",
)
OF_CASES: Final = ("Case", "Baseline passes", "Candidate passes", "Problem")


def append(file: Path, results: Sequence[Result], *, remarks: Sequence[str] = ()) -> None:
    """Append the results to a file. Folders are created.

    Args:
        file: The file, which may have content of other steps.
        results: By feature.
        remarks: Sentences on all of them.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(markdown(results, remarks=remarks))


def markdown(results: Sequence[Result], *, remarks: Sequence[str] = ()) -> str:
    """Return the results as a section in Markdown."""
    return "\n".join([TITLE, "", *_lines(results, remarks), ""])


def _lines(results: Sequence[Result], remarks: Sequence[str]) -> Iterator[str]:
    evaluated = [result for result in results if result.run]
    for remark in remarks:
        yield sentence(remark)
        yield ""
    if not evaluated:
        yield "Nothing was evaluated, since no feature has changed."
        yield ""
    if results:
        yield from _table(COLUMNS, (_row(result) for result in results))
        yield ""
    for result in evaluated:
        yield from _section(result)
    if any(result.run and result.run.provider == "sandbox" for result in evaluated):
        yield f"*{words.SANDBOX}*"


def _table(columns: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell or NONE for cell in row)} |"


def _row(result: Result) -> Sequence[str]:
    name = code(f"{result.feature} {result.version}")
    if result.run is None:
        return (name, words.UNCHANGED, *[NONE] * (len(COLUMNS) - 2))
    cost = costs.dollars(result.spent_micro).replace("$", r"\$")
    end = (cost, f"{result.calls:,}")
    found = result.verdict
    if found is None:
        return (name, "**no verdict**", *[NONE] * (len(COLUMNS) - 4), *end)
    return (
        name,
        f"**{found['decision']}**",
        _arm(found["candidate"]),
        _arm(found["baseline"]),
        _difference(found),
        p_value(found["p"]).removeprefix("p ").removeprefix("= ") if found["p"] is not None else "",
        words.smallest_drop(found) or "",
        *end,
    )


def _arm(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    return f"{shares.percent(figures['rate'])} ({shares.span(figures['interval'])})"


def _difference(verdict: Any) -> str:
    if (difference := verdict["difference_points"]) is None:
        return ""
    interval = verdict["difference_interval"]
    if interval is None:
        return shares.points(difference)
    low, high = shares.points(interval["low"]), shares.points(interval["high"])
    return f"{shares.points(difference)} ({low} to {high})"


def _section(result: Result) -> Iterator[str]:
    """Yield the reasons and the worst changes of a feature that was evaluated."""
    yield f"### {code(f'{result.feature} {result.version}')}"
    yield ""
    if result.changed:
        yield f"Changed: {', '.join(result.changed)}. {sentence(result.how)}"
    else:
        yield sentence(result.how)
    yield ""
    reasons = result.verdict["reasons"] if result.verdict else [result.problem]
    yield from (f"- {sentence(reason)}" for reason in reasons[:MOST_REASONS])
    if len(reasons) > MOST_REASONS:
        yield f"- {len(reasons) - MOST_REASONS} further reasons are in the report."
    if reasons:
        yield ""
    worst = [case for case in result.cases if case.change < 0 or case.is_broken][:WORST]
    if worst:
        yield "Worst changes:"
        yield ""
        yield from _table(OF_CASES, (_case(case) for case in worst))
        yield ""


def _case(case: CaseResult) -> Sequence[str]:
    must = " (may never break)" if case.is_must else ""
    return (f"{code(case.id)}{must}", str(case.baseline), str(case.candidate), code(case.problem))
