"""One user floods the site, and others look how long their answers take."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST
from tests.bench.figures import percentile
from tests.bench.http_client import Answered, Workload
from tests.bench.load import FEATURE
from tests.bench.report import BrokenRunError

SECONDS: Final = 15.0
"""How long is looked, in calm and in the flood."""

PACE_S: Final = 1.0
"""Each of the others asks once a second."""

LONG_POLLS: Final = 1_500
READS: Final = 800
READERS: Final = 100
REFUSED: Final = 50
LATER_S: Final = 1.0
"""The others are looked at from then on: the flood has begun."""

JOBS_LISTED: Final = 100

SPARE_S: Final = 60.0
"""For the last answers: a refusal may wait, and so may a long-poll."""

MEANT: Final = (
    f"one user sends {LONG_POLLS} long-polls, {READS} lists over {READERS} connections, and refused"
    f" submissions over {REFUSED}, each of the two again and again"
)
WAITING: Final = """
INSERT INTO aifeature_job (id, user_id, feature, status, input, run_at, deadline_at)
SELECT gen_random_uuid(), %s, %s, 'queued', '{}',
       now() + interval '1 hour', now() + interval '1 day'
  FROM generate_series(1, %s)
RETURNING id::text
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who is there. The first user is malicious."""

    port: int
    users: Sequence[int]
    tokens: Sequence[str]
    env: Mapping[str, str]
    logs: Path


@dataclass(frozen=True, slots=True)
class Flooded:
    """Seconds that others waited, and what the malicious user was answered."""

    calm_s: Sequence[float]
    burst_s: Sequence[float]
    answered: Sequence[Answered]

    @property
    def calm_p95_ms(self) -> float:
        """Of the others, before."""
        return percentile([took * 1000 for took in self.calm_s], 95)

    @property
    def burst_p95_ms(self) -> float:
        """Of the others, meanwhile."""
        return percentile([took * 1000 for took in self.burst_s], 95)

    @property
    def refused(self) -> int:
        """How many requests of the malicious user were too many."""
        return sum(answer.status == 429 for answer in self.answered)


def measure(crowd: Crowd, connection: psycopg.Connection) -> Flooded:
    """Look at the others without the flood and with it. The jobs it makes stay; they are due
    in an hour.

    Raises:
        BrokenRunError: an answer was none that may come.
    """
    malicious, *others = crowd.users
    mine = _waiting_jobs(connection, malicious, JOBS_LISTED)
    theirs = [job for user in others for job in _waiting_jobs(connection, user, 1)]
    paths = [f"/api/v1/jobs/{job}" for job in theirs]
    watched = Workload(
        *(HOST, crowd.port, crowd.tokens[1:], len(others), SECONDS, "GET", paths),
        every_s=PACE_S,
    )
    with ExitStack() as exits:
        calm = _start(crowd, watched, exits).answers({200})
        flood = [_start(crowd, workload, exits) for workload in _flood(crowd, mine[0])]
        time.sleep(LATER_S)
        burst = _start(crowd, watched, exits).answers({200})
        allowed = {200, 422, 429}
        answered = [answer for each in flood for answer in each.answers(allowed)]
    return Flooded([each.took_s for each in calm], [each.took_s for each in burst], answered)


def _waiting_jobs(connection: psycopg.Connection, user: int, count: int) -> list[str]:
    return [str(row[0]) for row in connection.execute(WAITING, (user, FEATURE, count)).fetchall()]


def _flood(crowd: Crowd, job: str) -> list[Workload]:
    token = crowd.tokens[:1]
    poll, listed = [f"/api/v1/jobs/{job}?wait=10"], ["/api/v1/jobs?limit=100"]
    submit = [f"/api/v1/features/{FEATURE}/jobs"]
    seconds = SECONDS + LATER_S
    every_s = seconds * READERS / READS
    return [
        Workload(HOST, crowd.port, token, LONG_POLLS, seconds, "GET", poll),
        Workload(HOST, crowd.port, token, READERS, seconds, "GET", listed, every_s=every_s),
        Workload(
            HOST, crowd.port, token, REFUSED, seconds, "POST", submit, json.dumps({"input": {}})
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Users:
    """Simulated users under way."""

    process: subprocess.Popen[str]
    said: Path

    def answers(self, allowed: set[int]) -> list[Answered]:
        """What they were answered, when they are done."""
        if self.process.wait(SECONDS + SPARE_S):
            raise BrokenRunError("the simulated users failed; see above")
        answers = [Answered(**answer) for answer in json.loads(self.said.read_text())]
        for answer in answers:
            if answer.status not in allowed:
                raise BrokenRunError(f"an answer was {answer.status}: {answer.body[:300]}")
        return answers


def _start(crowd: Crowd, workload: Workload, exits: ExitStack) -> _Users:
    said = crowd.logs / f"users-{uuid4()}.json"
    with said.open("w") as output:
        process = subprocess.Popen(
            [PYTHON, "-m", "tests.bench.http_client"],
            cwd=CHECKOUT,
            env=dict(crowd.env),
            stdin=subprocess.PIPE,
            stdout=output,
            text=True,
        )
    exits.callback(process.kill)
    if process.stdin is None:
        raise AssertionError("it was asked for")
    with process.stdin as given:
        given.write(json.dumps(asdict(workload)))
    return _Users(process, said)
