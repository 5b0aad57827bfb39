"""The time in which the kill switch stops everything: calls, queue and submissions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import redis

from tests.bench.load import insert_jobs
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.sandbox import Sandbox
from tests.bench.stack import Bed, Stack
from tests.bench.visitors import submit
from tests.chaos.staff import at_work

IN_FLIGHT = 200
QUEUED = 100
CALL_S = 60.0
FIRST_BYTE_S = 0.5
POOL = "20"
PATIENCE_S = 60.0
WATCH_S = 4.0
"""Seconds after the flip: enough to see late calls and submissions."""


@dataclass(slots=True)
class Flip:
    """The effect of a flip, in seconds after an operator pulled the switch."""

    stop_s: float
    """Until `switch.stop` returned: the flip is committed, with its audit rows."""
    last_byte_s: float
    """Until the provider lost the last call."""
    settled_s: float
    """Until the ledger closed the last call."""
    accepted_s: float
    """Until the last accepted submission; 0 if there was none after the flip."""
    sent_after: int
    """Calls that arrived at the provider too late to have been sent before the flip."""
    burnt: int
    """Jobs whose run counted as a try."""


def run(stack: Stack, _rounds: int) -> Figure:
    """Flip with calls that stream and that do not, with Redis running and frozen."""
    values: dict[str, float | int] = {"in_flight": IN_FLIGHT}
    flips = {}
    for name, app in (("stream", "project"), ("plain", "tests.bench.worker_app")):
        for suffix, frozen in (("", False), ("_no_redis", True)):
            flip = _flip(stack, app, frozen=frozen)
            flips[name + suffix] = flip
            progress(f"kill: {name}{suffix}: {flip.last_byte_s:.2f} s")
            values[f"{name}{suffix}_s"] = flip.last_byte_s
    every = flips.values()
    for name in ("stop_s", "settled_s", "accepted_s"):
        values[name] = max(getattr(flip, name) for flip in every)
    for name in ("sent_after", "burnt"):
        values[name] = sum(getattr(flip, name) for flip in every)
    aims = (
        *(Aim(f"{name}_s", "at most", 1.0) for name in ("stream", "plain", "accepted")),
        *(Aim(f"{name}_no_redis_s", "at most", 2.0) for name in ("stream", "plain")),
        Aim("stop_s", "at most", 2.0),
        Aim("sent_after", "at most", 0),
        Aim("burnt", "at most", 0),
    )
    note = (
        "seconds from the operator's pull until the provider lost the last call; stop, settled,"
        " accepted: the slowest of the four flips until it was committed, until the ledger was"
        " closed, until the last 202"
    )
    return Figure("kill", values, aims, note)


def _flip(stack: Stack, app: str, *, frozen: bool) -> Flip:
    with stack.bed("kill") as bed, at_work(bed.env, bed.launcher.logs / "staff.log") as staff:
        sandbox = bed.sandbox(latency_s=CALL_S, first_byte_s=FIRST_BYTE_S)
        bed.env["DATABASE_POOL_SIZE"] = POOL
        bed.worker("job", threads=IN_FLIGHT, app=app)
        _, port = bed.web(processes=1)
        connection = bed.connect()
        insert_jobs(connection, bed.seed.users, IN_FLIGHT + QUEUED, published=False)
        bed.wait(lambda: _open(sandbox) == IN_FLIGHT, "calls to be in flight", limit_s=PATIENCE_S)
        submissions = bed.exits.enter_context(ThreadPoolExecutor(1)).submit(
            submit, bed, port, clients=4, seconds=WATCH_S + 2.0, every_s=0.05, expect=(202, 503)
        )
        time.sleep(1.0)
        if frozen:
            with redis.Redis.from_url(bed.redis_url) as client:
                client.client_pause(int((WATCH_S + 2.0) * 1000))
            time.sleep(0.5)
        pulled, returned = staff.stop("summarize", cancels=False)
        accepted = [a.sent_at + a.took_s for a in submissions.result() if a.status == 202]
        return _effect(bed, sandbox, accepted, pulled, returned)


def _effect(
    bed: Bed, sandbox: Sandbox, accepted: Sequence[float], pulled: float, returned: float
) -> Flip:
    calls = sandbox.calls()
    left = [call for call in calls if call["ended_at"] is None]
    if left:
        raise BrokenRunError(f"{len(left)} calls are still in flight {WATCH_S:.0f} s after a flip")
    connection = bed.connect()
    (settled, open_calls) = connection.execute(
        "SELECT extract(epoch FROM max(ended_at))::float8,"
        "       count(*) FILTER (WHERE state = 'started') FROM aifeature_attempt"
    ).fetchall()[0]
    if open_calls:
        raise BrokenRunError(f"the ledger has {open_calls} open calls")
    tried = connection.execute("SELECT id FROM aifeature_job WHERE tries > 0").fetchall()
    last = max(call["ended_at"] for call in calls)
    return Flip(
        stop_s=returned - pulled,
        last_byte_s=max(0.0, last - pulled),
        settled_s=max(0.0, settled - pulled),
        accepted_s=max([0.0, *(at - pulled for at in accepted)]),
        sent_after=sum(call["started_at"] > pulled + 1.0 for call in calls),
        burnt=len(tried),
    )


def _open(sandbox: Sandbox) -> int:
    return sum(call["ended_at"] is None for call in sandbox.calls())
