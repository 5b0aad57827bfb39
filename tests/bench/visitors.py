"""Sends simulated users to the web server and collects their answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST
from tests.bench.http_client import Answered, Workload
from tests.bench.load import DOCUMENT, FEATURE
from tests.bench.report import BrokenRunError
from tests.bench.stack import Bed

SPARE_S = 60.0
"""Time for the last answers: a refusal may wait, and so may a long poll."""

SUBMIT = f"/api/v1/features/{FEATURE}/jobs"
BODY = json.dumps({"input": {"document": DOCUMENT}})


@dataclass(frozen=True, slots=True)
class Visitors:
    """Running simulated users."""

    workload: Workload
    process: subprocess.Popen[str]
    output: Path

    def answers(self, expect: Sequence[int]) -> list[Answered]:
        """Wait for the end, and return all answers.

        Raises BrokenRunError if the users failed or an answer has another status.
        """
        if self.process.wait(self.workload.seconds + SPARE_S):
            raise BrokenRunError("the simulated users failed; see above")
        answers = [Answered(**answer) for answer in json.loads(self.output.read_text())]
        bad = [answer for answer in answers if answer.status not in expect]
        if bad:
            raise BrokenRunError(
                f"{len(bad)} of {len(answers)} answers to {self.workload.method} were not"
                f" {tuple(expect)}: {bad[0].status} {bad[0].body[:300]}"
            )
        return answers


def start(workload: Workload, env: Mapping[str, str], logs: Path, exits: ExitStack) -> Visitors:
    """Start users in a process that ends with the context."""
    path = logs / f"users-{uuid4()}.json"
    with path.open("w") as output:
        process = subprocess.Popen(
            [PYTHON, "-m", "tests.bench.http_client"],
            cwd=CHECKOUT,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=output,
            text=True,
        )
    exits.callback(process.kill)
    assert process.stdin is not None
    with process.stdin as given:
        given.write(json.dumps(asdict(workload)))
    return Visitors(workload, process, path)


def submit(
    bed: Bed,
    port: int,
    *,
    clients: int,
    seconds: float,
    every_s: float = 0.0,
    expect: tuple[int, ...] = (202,),
) -> list[Answered]:
    """Submit jobs. The bodies of answers with 202 are the jobs."""
    return _send(bed, port, "POST", [SUBMIT], clients, seconds, every_s, BODY, expect=expect)


def poll(
    bed: Bed, port: int, jobs: Sequence[str], *, clients: int, seconds: float, every_s: float = 0.0
) -> list[Answered]:
    """Poll jobs; job n belongs to client n."""
    paths = [f"/api/v1/jobs/{job}" for job in jobs]
    return _send(bed, port, "GET", paths, clients, seconds, every_s)


def cancel(bed: Bed, port: int, jobs: Sequence[str], *, seconds: float) -> list[Answered]:
    """Cancel one job for each user, spread over the time; job n belongs to user n."""
    paths = [f"/api/v1/jobs/{job}/cancel" for job in jobs]
    return _send(bed, port, "POST", paths, len(jobs), seconds, seconds)


def _send(
    bed: Bed,
    port: int,
    method: str,
    paths: Sequence[str],
    clients: int,
    seconds: float,
    every_s: float,
    body: str = "",
    *,
    expect: tuple[int, ...] = (200,),
) -> list[Answered]:
    tokens = bed.seed.tokens
    workload = Workload(HOST, port, tokens, clients, seconds, method, paths, body, every_s)
    with ExitStack() as exits:
        return start(workload, bed.env, bed.launcher.logs, exits).answers(expect)
