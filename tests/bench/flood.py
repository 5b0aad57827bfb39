"""One user floods the site, and other users measure the time of their answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from project.stack.ports import HOST
from tests.bench.figures import percentile
from tests.bench.http_client import Answered, Workload
from tests.bench.load import FEATURE
from tests.bench.visitors import SUBMIT, Visitors, start

SECONDS: Final = 15.0
"""Seconds of each measurement, without and with the flood."""

PACE_S: Final = 1.0
"""Seconds between two requests of each other user."""

LONG_POLLS: Final = 1_500
READS: Final = 800
READERS: Final = 100
REFUSED: Final = 50
LATER_S: Final = 1.0
"""Seconds from the begin of the flood to its measurement."""

JOBS_LISTED: Final = 100

DESCRIPTION: Final = (
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
    """The users of a site. The last one is malicious."""

    port: int
    users: Sequence[int]
    tokens: Sequence[str]
    env: Mapping[str, str]
    logs: Path


@dataclass(frozen=True, slots=True)
class Flooded:
    """Seconds that the others waited, and the answers to the malicious user."""

    calm_s: Sequence[float]
    burst_s: Sequence[float]
    answered: Sequence[Answered]

    @property
    def calm_p95_ms(self) -> float:
        return percentile([took * 1000 for took in self.calm_s], 95)

    @property
    def burst_p95_ms(self) -> float:
        return percentile([took * 1000 for took in self.burst_s], 95)

    @property
    def refused(self) -> int:
        """Number of refused requests of the malicious user."""
        return sum(answer.status == 429 for answer in self.answered)


def measure(crowd: Crowd, connection: psycopg.Connection) -> Flooded:
    """Measure the answers to the others without the flood and with it.

    The created jobs stay; they are due in an hour. Raises BrokenRunError for a wrong answer.
    """
    *others, malicious = crowd.users
    mine = _waiting_jobs(connection, malicious, JOBS_LISTED)
    theirs = [job for user in others for job in _waiting_jobs(connection, user, 1)]
    paths = [f"/api/v1/jobs/{job}" for job in theirs]
    watched = Workload(
        *(HOST, crowd.port, crowd.tokens[:-1], len(others), SECONDS, "GET", paths),
        every_s=PACE_S,
    )
    with ExitStack() as exits:

        def begin(workload: Workload) -> Visitors:
            return start(workload, crowd.env, crowd.logs, exits)

        calm = begin(watched).answers([200])
        flood = [begin(workload) for workload in _flood(crowd, mine[0])]
        time.sleep(LATER_S)
        burst = begin(watched).answers([200])
        answered = [answer for each in flood for answer in each.answers([200, 422, 429])]
    return Flooded([each.took_s for each in calm], [each.took_s for each in burst], answered)


def _waiting_jobs(connection: psycopg.Connection, user: int, count: int) -> list[str]:
    return [str(row[0]) for row in connection.execute(WAITING, (user, FEATURE, count)).fetchall()]


def _flood(crowd: Crowd, job: str) -> list[Workload]:
    token = crowd.tokens[-1:]
    poll, listed = [f"/api/v1/jobs/{job}?wait=10"], ["/api/v1/jobs?limit=100"]
    seconds = SECONDS + LATER_S
    every_s = seconds * READERS / READS
    return [
        Workload(HOST, crowd.port, token, LONG_POLLS, seconds, "GET", poll),
        Workload(HOST, crowd.port, token, READERS, seconds, "GET", listed, every_s=every_s),
        Workload(HOST, crowd.port, token, REFUSED, seconds, "POST", [SUBMIT], '{"input": {}}'),
    ]
