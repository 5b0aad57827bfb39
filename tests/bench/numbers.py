"""The time of the six numbers, of a tick that sums, and of a dashboard, with a million calls."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Final

import psycopg

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from tests.bench.numbers_history import generate
from tests.bench.numbers_operations import AIMS
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.stack import Bed, Stack

CALLS: Final = int(os.environ.get("BENCH_NUMBERS_CALLS") or 1_000_000)
LIMIT_S: Final = 400.0


def run(stack: Stack, _rounds: int) -> Figure:
    """Load 28 days, sum them up, and measure the median time of each operation."""
    with stack.bed("numbers") as bed:
        begun = time.monotonic()
        with psycopg.connect(bed.env["DATABASE_URL"], autocommit=True) as connection:
            made = generate(connection, calls=CALLS)
        progress(f"numbers: {CALLS:,} calls were made in {time.monotonic() - begun:.0f} s")
        values: dict[str, float | int | str] = {**made, **_operations(bed)}
    note = "medians in milliseconds; 28 days, four versions, three models, two stages"
    aims = tuple(Aim(f"{name}_ms", "at most", limit) for name, limit in AIMS.items())
    return Figure("numbers", values, aims, note)


def _operations(bed: Bed) -> dict[str, float]:
    done = subprocess.run(
        [PYTHON, "-m", "tests.bench.numbers_operations"],
        cwd=CHECKOUT,
        env=bed.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    if done.returncode:
        raise BrokenRunError(f"the operations failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
