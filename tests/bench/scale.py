"""The speed of common operations with a year of jobs, compared with few jobs.

Both databases are measured in turn: one holds a page or two of jobs, the other a million or
`BENCH_SCALE_JOBS`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time

import psycopg

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from tests.bench.history import generate
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.scale_operations import NAMES, REPEATS
from tests.bench.stack import Bed, Stack

JOBS = int(os.environ.get("BENCH_SCALE_JOBS") or 1_000_000)
FEW = 400
"""Jobs of the small database: enough to fill every measured page, also the one of staff."""

ATTEMPTS_PER_JOB = 3
USERS = 8
"""Owners of the jobs: each has more than a page, in the small database too."""

ROUNDS = 2
LIMIT_S = 120.0


def run(stack: Stack, _rounds: int) -> Figure:
    """Compare the median time of each operation on many rows with that on few."""
    with stack.bed("scale") as many:
        few = Bed(
            {**many.env, "DATABASE_URL": stack.copy("bench_scale_few")},
            *(many.seed, many.launcher, many.exits),
        )
        begun = time.monotonic()
        for bed, jobs in ((few, FEW), (many, JOBS)):
            with psycopg.connect(bed.env["DATABASE_URL"], autocommit=True) as connection:
                generate(connection, bed.seed.users[:USERS], jobs, ATTEMPTS_PER_JOB)
        progress(f"scale: {JOBS:,} jobs were made in {time.monotonic() - begun:.0f} s")
        times: dict[str, list[dict[str, float]]] = {"few": [], "many": []}
        for number in range(ROUNDS):
            turns = [("few", few), ("many", many)]
            for name, bed in turns if number % 2 else reversed(turns):
                times[name].append(_operations(bed))
            progress(f"scale: round {number + 1} of {ROUNDS} is done")
    return _figure(times)


def _operations(bed: Bed) -> dict[str, float]:
    """Return the median milliseconds of each operation."""
    done = subprocess.run(
        [PYTHON, "-m", "tests.bench.scale_operations"],
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


def _figure(times: dict[str, list[dict[str, float]]]) -> Figure:
    values: dict[str, float | int] = {"jobs": JOBS, "attempts": JOBS * ATTEMPTS_PER_JOB}
    for name in NAMES:
        few = [found[name] for found in times["few"]]
        many = [found[name] for found in times["many"]]
        values[f"{name}_few_ms"] = statistics.median(few)
        values[f"{name}_ms"] = statistics.median(many)
        ratios = (big / small for big, small in zip(many, few, strict=True))
        values[f"{name}_ratio"] = statistics.median(ratios)
    values["worst_ratio"] = max(values[f"{name}_ratio"] for name in NAMES)
    aims = tuple(Aim(f"{name}_ratio", "at most", 1.5) for name in (*NAMES, "worst"))
    note = (
        f"medians of {ROUNDS * REPEATS} operations each, against tables with the newest {FEW} of"
        " the same jobs, so that all pages are full"
    )
    return Figure("scale", values, aims, note)
