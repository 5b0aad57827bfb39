"""Sends simulated users against the web component and collects what they were answered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST
from tests.bench.http_client import Answered, Workload
from tests.bench.load import DOCUMENT, FEATURE
from tests.bench.report import BrokenRunError
from tests.bench.stack import Bed

SPARE_S = 60.0
SUBMIT = f"/api/v1/features/{FEATURE}/jobs"
BODY = json.dumps({"input": {"document": DOCUMENT}})


def submit(
    bed: Bed,
    port: int,
    *,
    clients: int,
    seconds: float,
    every_s: float = 0.0,
    expect: tuple[int, ...] = (202,),
) -> list[Answered]:
    """Users that submit jobs; the bodies of the answers with 202 are the jobs."""
    return _send(bed, port, "POST", [SUBMIT], clients, seconds, every_s, BODY, expect=expect)


def poll(
    bed: Bed, port: int, jobs: Sequence[str], *, clients: int, seconds: float, every_s: float = 0.0
) -> list[Answered]:
    """Users that look at these jobs; job n must be client n's."""
    paths = [f"/api/v1/jobs/{job}" for job in jobs]
    return _send(bed, port, "GET", paths, clients, seconds, every_s, "", expect=(200,))


def cancel(bed: Bed, port: int, jobs: Sequence[str], *, seconds: float) -> list[Answered]:
    """Users that cancel one of these jobs each, spread over so many seconds; job n is user n's."""
    paths = [f"/api/v1/jobs/{job}/cancel" for job in jobs]
    return _send(bed, port, "POST", paths, len(jobs), seconds, seconds, "", expect=(200,))


def _send(
    bed: Bed,
    port: int,
    method: str,
    paths: Sequence[str],
    clients: int,
    seconds: float,
    every_s: float,
    body: str,
    *,
    expect: tuple[int, ...],
) -> list[Answered]:
    workload = Workload(HOST, port, bed.seed.tokens, clients, seconds, method, paths, body, every_s)
    done = subprocess.run(
        [PYTHON, "-m", "tests.bench.http_client"],
        input=json.dumps(asdict(workload)),
        cwd=CHECKOUT,
        env=bed.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + SPARE_S,
    )
    if done.returncode:
        raise BrokenRunError(f"the simulated users failed:\n{done.stderr[-2000:]}")
    answers = [Answered(**answer) for answer in json.loads(done.stdout)]
    bad = [answer for answer in answers if answer.status not in expect]
    if bad:
        raise BrokenRunError(
            f"{len(bad)} of {len(answers)} answers to {method} were not {expect}:"
            f" {bad[0].status} {bad[0].body[:300]}"
        )
    return answers
