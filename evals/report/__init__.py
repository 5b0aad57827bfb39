"""The report of a run: one HTML file without outside parts, and its summary for a terminal.

Outputs and inputs are hostile text. The template escapes all values, the browser shows texts of
cases as text nodes only, and the page's content policy allows its own script and style only.
The page needs the extra `evals`; figures and sentences do not.
"""

from __future__ import annotations

from pathlib import Path

from evals.models import Run
from evals.report.summary import summary

__all__ = ["html", "policy", "summary", "write"]


def write(run: Run, to: Path | None = None) -> Path:
    """Write the report of a run and return its file.

    Args:
        run: The run, which may be unfinished.
        to: The file. Default: in the folder `evals` of the local data. Folders are created.
    """
    from evals.report import page  # noqa: PLC0415 (it needs the extra)

    return page.write(run, to)


def html(run: Run) -> str:
    """Return the report of a run, which may be unfinished.

    Raises:
        ModuleNotFoundError: The extra `evals` is not installed.
    """
    from evals.report import page  # noqa: PLC0415 (it needs the extra)

    return page.html(run, list(run.samples.all()))


def policy() -> str:
    """Return the content policy of a report. The report contains it too.

    Raises:
        ModuleNotFoundError: The extra `evals` is not installed.
    """
    from evals.report import page  # noqa: PLC0415 (it needs the extra)

    return page.policy()
