"""The CPU time and the size of the report of a large evaluation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import django

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from tests.bench.report import Aim, BrokenRunError, Figure
from tests.bench.stack import Stack

MEGABYTE = 1_000_000


def run(stack: Stack, _rounds: int) -> Figure:
    """Make the first report of a process, so that the templates are read and compiled."""
    done = subprocess.run(
        [PYTHON, "-m", "tests.bench.eval_report"],
        env=stack.env,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BrokenRunError(done.stderr[-500:])
    aims = (Aim("cpu_s", "at most", 2), Aim("report_mb", "at most", 3))
    note = "200 cases, 3 versions, 5 repeats"
    return Figure("eval_report", json.loads(done.stdout), aims, note)


def main() -> None:
    """Print the figures as JSON."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    from evals.report import page  # noqa: PLC0415 (they need the apps loaded)
    from tests.unit.evals.test_report import a_large_run  # noqa: PLC0415

    large = a_large_run()
    begun = time.process_time()
    text = page.html(*large)
    seconds = time.process_time() - begun
    sys.stdout.write(json.dumps({"cpu_s": seconds, "report_mb": len(text.encode()) / MEGABYTE}))


if __name__ == "__main__":
    main()
