"""The speed of submissions and polls, with fifty users at the same time."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tests.bench.figures import percentile
from tests.bench.http_client import Answered
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.stack import Bed, Stack
from tests.bench.visitors import poll, submit

CLIENTS = 50
SECONDS = 4.0
MOST_ROUNDS = 2
PACE_S = 1.0
"""Seconds between two polls of one client."""

Phase = Callable[[float], list[Answered]]
"""Runs the users, with the given seconds between two requests of each."""


def run(stack: Stack, rounds: int) -> Figure:
    """Submit and poll, at full speed and at the pace of users."""
    with stack.bed("api") as bed:
        _, port = bed.web(processes=2)
        jobs = _one_job_each(bed, port)
        accepted = len(jobs)

        def submitting(every_s: float) -> list[Answered]:
            return submit(bed, port, clients=CLIENTS, seconds=SECONDS, every_s=every_s)

        def polling(every_s: float) -> list[Answered]:
            return poll(bed, port, jobs, clients=CLIENTS, seconds=SECONDS, every_s=every_s)

        found: dict[str, list[float]] = {}
        for number in range(1, min(rounds, MOST_ROUNDS) + 1):
            accepted += _measure(found, "submit", submitting)
            _measure(found, "poll", polling)
            progress(f"api: round {number}: {found['poll_per_s'][-1]:.0f} polls/s")
        _check_durable(bed, accepted)
    medians = {key: statistics.median(values) for key, values in found.items()}
    note = (
        f"{CLIENTS} clients, 2 web processes; paced: one request per client every {PACE_S:.0f} s;"
        " otherwise each sends the next one immediately, and the p95 is the length of the queue"
    )
    aims = (Aim("paced_poll_p95_ms", "at most", 20),)
    return Figure("api", {"clients": CLIENTS, **medians}, aims, note)


def _measure(found: dict[str, list[float]], name: str, phase: Phase) -> int:
    """Add the figures of a phase, at full speed and paced. Return its number of requests."""
    unpaced = phase(0.0)
    paced = phase(PACE_S)
    span = max(a.sent_at + a.took_s for a in unpaced) - min(a.sent_at for a in unpaced)
    for key, value in {
        f"{name}_per_s": len(unpaced) / span,
        f"{name}_p95_ms": percentile([a.took_s * 1000 for a in unpaced], 95),
        f"paced_{name}_p95_ms": percentile([a.took_s * 1000 for a in paced], 95),
    }.items():
        found.setdefault(key, []).append(value)
    return len(unpaced) + len(paced)


def _one_job_each(bed: Bed, port: int) -> list[str]:
    """Create a job for each client. Return them in the order of the clients."""
    answers = submit(bed, port, clients=CLIENTS, seconds=0.5, every_s=0.5)
    rows = bed.connect().execute("SELECT id::text, user_id FROM aifeature_job").fetchall()
    if len(rows) != len(answers):
        raise BrokenRunError(f"{len(answers)} jobs were accepted, {len(rows)} are stored")
    by_user = {user: job for job, user in rows}
    return [by_user[user] for user in bed.seed.users[:CLIENTS]]


def _check_durable(bed: Bed, accepted: int) -> None:
    row = bed.connect().execute("SELECT count(*) FROM aifeature_job").fetchone()
    stored = row[0] if row else 0
    if stored != accepted:
        raise BrokenRunError(f"{accepted} jobs were accepted, {stored} are stored")
