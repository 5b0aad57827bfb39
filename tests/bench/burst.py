"""One user floods the site: how much longer do the others wait?"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import psutil

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST
from tests.bench.figures import percentile
from tests.bench.http_client import Answered, Orders
from tests.bench.load import insert_jobs
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.stack import Bed, Stack
from tests.bench.visitors import SUBMIT

OTHERS: Final = 40
PACE_S: Final = 1.0
"""Each of the others asks once a second."""

SECONDS: Final = 15.0
LATER_S: Final = 1.0
"""The others are looked at from then on: both kinds of users have connected."""

LONG_POLLS: Final = 1_500
READERS: Final = 100
READS: Final = 800
REFUSED: Final = 50
JOBS_LISTED: Final = 100

SPARE_S: Final = 60.0
"""For the last answers: a refusal may wait, and so may a long-poll."""


def run(stack: Stack, _rounds: int) -> Figure:
    """Look at the others without the flood and with it."""
    with stack.bed("burst") as bed:
        for name in ("WEB_REQUESTS_PER_SECOND", "WEB_REQUESTS_UNDER_WAY"):
            del bed.env[name]  # this is about the limits as they are by default
        web, port = bed.web(processes=2)
        malicious, *others = bed.seed.users[: OTHERS + 1]
        with bed.connect() as connection:
            mine = insert_jobs(connection, [malicious], JOBS_LISTED)
            theirs = insert_jobs(connection, others, OTHERS)
        paths = [f"/api/v1/jobs/{job}" for job in theirs]
        watched = Orders(
            HOST, port, bed.seed.tokens[1 : OTHERS + 1], OTHERS, SECONDS, "GET", paths,
            every_s=PACE_S,
        )  # fmt: skip
        calm = _start(bed, watched).answers()
        progress(f"burst: calm: {_p95(calm):.1f} ms")
        processes = psutil.Process(web.process.pid).children()
        flood = [_start(bed, orders) for orders in _flood(bed, port, str(mine[0]))]
        time.sleep(LATER_S)
        during = _start(bed, watched)
        threads = 0
        while during.process.poll() is None:
            threads = max(threads, *(process.num_threads() for process in processes))
            time.sleep(0.2)
        burst = during.answers()
        answered = [answer for each in flood for answer in each.answers()]
    bad = [answer for answer in (*calm, *burst) if answer.status != 200]
    if bad:
        raise BrokenRunError(f"{len(bad)} answers to others: {bad[0].status} {bad[0].body[:300]}")
    refused = sum(answer.status == 429 for answer in answered)
    values = {
        "calm_p95_ms": _p95(calm),
        "burst_p95_ms": _p95(burst),
        "slowdown": _p95(burst) / _p95(calm),
        "refused": refused,
        "served": len(answered) - refused,
        "web_threads": threads,
    }
    note = (
        f"{OTHERS} users ask once a second, while one sends {LONG_POLLS} long-polls, {READS} lists"
        f" over {READERS} connections and {REFUSED} endless rows of refused submissions"
    )
    return Figure("burst", values, (Aim("slowdown", "at most", 2),), note)


def _flood(bed: Bed, port: int, job: str) -> list[Orders]:
    """What the malicious user sends, again and again."""
    token = bed.seed.tokens[:1]
    poll, listed = [f"/api/v1/jobs/{job}?wait=10"], ["/api/v1/jobs?limit=100"]
    seconds = SECONDS + LATER_S
    every_s = seconds * READERS / READS
    return [
        Orders(HOST, port, token, LONG_POLLS, seconds, "GET", poll),
        Orders(HOST, port, token, READERS, seconds, "GET", listed, every_s=every_s),
        Orders(HOST, port, token, REFUSED, seconds, "POST", [SUBMIT], json.dumps({"input": {}})),
    ]


@dataclass(frozen=True, slots=True)
class _Users:
    """Simulated users under way."""

    process: subprocess.Popen[str]
    said: Path

    def answers(self) -> list[Answered]:
        """What they were answered, when they are done."""
        if self.process.wait(SECONDS + SPARE_S):
            raise BrokenRunError("the simulated users failed; see above")
        return [Answered(**answer) for answer in json.loads(self.said.read_text())]


def _start(bed: Bed, orders: Orders) -> _Users:
    said = bed.launcher.logs / f"users-{uuid4()}.json"
    with said.open("w") as output:
        process = subprocess.Popen(
            [PYTHON, "-m", "tests.bench.http_client"],
            cwd=CHECKOUT,
            env=bed.env,
            stdin=subprocess.PIPE,
            stdout=output,
            text=True,
        )
    bed.exits.callback(process.kill)
    if process.stdin is None:
        raise AssertionError("it was asked for")
    with process.stdin as given:
        given.write(json.dumps(asdict(orders)))
    return _Users(process, said)


def _p95(answers: list[Answered]) -> float:
    return percentile([answer.took_s * 1000 for answer in answers], 95)
