"""How a run continues after its command has ended. It depends on the system of the run."""

from __future__ import annotations

import os
from typing import Final
from uuid import UUID

RESUME: Final = "EVALS_RESUME"
"""Environment variable of `evals.local`, whose workers end with the command: the command that
resumes the run `{run}`; empty if the database ends too."""

_USUAL: Final = "python -m evals run --resume {run}"
_NEVER: Final = "This system ends with its database, so no run of it can be resumed."


def command(run: UUID | str) -> str:
    """Return the command that resumes a run; empty if none can."""
    return os.environ.get(RESUME, _USUAL).replace("{run}", str(run))


def sentence(*runs: UUID) -> str:
    """Return how to resume these runs, or any run."""
    if not command(""):
        return _NEVER
    if not runs:
        return f"`list` shows the runs, and `{command('RUN')}` resumes one."
    return f"To resume: {'; '.join(f'`{command(run)}`' for run in runs)}."


def after_interrupt(*runs: UUID) -> str:
    """Return what happens to the jobs of these runs now, and how to resume them."""
    if not command(""):
        return _NEVER
    jobs = "Jobs that were sent go on"
    if RESUME in os.environ:
        jobs = "The workers end too, and jobs that were sent go on when this system starts again"
    return f"{jobs}. {sentence(*runs)}"
