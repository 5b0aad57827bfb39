"""The time to end waits: blocked calls, cancelled jobs, submissions with a frozen broker."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID, uuid4

import redis

from tests.bench.figures import percentile
from tests.bench.load import wait_until_ended
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.sandbox import Sandbox
from tests.bench.stack import Bed, Stack
from tests.bench.visitors import cancel, submit
from workers.inference import (
    AnthropicClient,
    Cancel,
    Cancelled,
    Gateway,
    InferenceRequest,
    Message,
    TextBlock,
)

CALLS = 100
JOBS = 40
SPREAD_S = 9.2
"""Seconds over which the jobs are cancelled, so that any phase of the worker's heartbeat occurs."""
FROZEN_S = 5.0
SUBMISSIONS = 100
CALL_S = 100.0
"""Longer than the bench, so that no call ends by itself."""
FIRST_BYTE_S = 0.5
PATIENCE_S = 60.0


def run(stack: Stack, rounds: int) -> Figure:
    """Measure calls in this process, then jobs and submissions over HTTP."""
    calls = _calls(stack, rounds)
    with stack.bed("abort") as bed:
        sandbox = bed.sandbox(latency_s=CALL_S, first_byte_s=FIRST_BYTE_S)
        bed.env["WORKER_GRACE_SECONDS"] = "0"
        bed.worker("job", threads=JOBS)
        _, port = bed.web(processes=2)
        lost, stored = _jobs(bed, sandbox, port)
        submissions = _submissions(bed, port)
    values = {
        "calls_p95_ms": percentile(calls, 95),
        "calls_max_ms": max(calls),
        "provider_p95_s": percentile(lost, 95),
        "provider_max_s": max(lost),
        "stored_p95_s": percentile(stored, 95),
        "stored_max_s": max(stored),
        "frozen_p50_s": percentile(submissions, 50),
        "frozen_max_s": max(submissions),
    }
    aims = (
        Aim("calls_max_ms", "at most", 200),
        *(Aim(f"{what}_max_s", "at most", 1.0) for what in ("provider", "stored")),
        Aim("frozen_max_s", "at most", 0.5),
    )
    note = (
        f"calls: {CALLS} blocked calls cancelled together, {rounds} rounds, until all have raised;"
        f" provider, stored: from the POST that cancels one of {JOBS} streaming jobs until the"
        " provider has lost its call, until the job is cancelled in the database; frozen: the"
        f" answers to {SUBMISSIONS} submissions while Redis is stopped"
    )
    return Figure("abort", values, aims, note)


def _calls(stack: Stack, rounds: int) -> list[float]:
    """Return the milliseconds from the first of many cancellations to the end of each call."""
    with stack.bed("abort_calls") as bed:
        sandbox = bed.sandbox(latency_s=CALL_S, first_byte_s=CALL_S)
        gateway = Gateway(
            AnthropicClient(api_key="bench", base_url=sandbox.url, idle_timeout_s=2 * CALL_S)
        )
        bed.exits.callback(gateway.close)
        found: list[float] = []
        for _ in range(rounds):
            sandbox.clear()
            found += _cancelled_together(bed, sandbox, gateway)
            progress(f"abort: {CALLS} calls, the last after {max(found[-CALLS:]):.0f} ms")
        return found


def _cancelled_together(bed: Bed, sandbox: Sandbox, gateway: Gateway) -> list[float]:
    cancels = [Cancel() for _ in range(CALLS)]
    with ThreadPoolExecutor(CALLS) as threads:
        ends = [threads.submit(_until_cancelled, gateway, cancel) for cancel in cancels]
        try:
            bed.wait(lambda: len(sandbox.calls()) == CALLS, "calls", limit_s=PATIENCE_S)
        finally:
            begun = time.perf_counter()
            for each in cancels:
                each.cancel("bench")
        return [(end.result() - begun) * 1000 for end in ends]


def _until_cancelled(gateway: Gateway, cancel: Cancel) -> float:
    """Return the time at which the call ended, by this process's clock."""
    request = InferenceRequest(
        attempt_id=uuid4(),
        model="claude-haiku-5-5",
        system=(TextBlock("You help."),),
        messages=(Message("user", (TextBlock("Hi"),)),),
        max_tokens=100,
        deadline_s=2 * CALL_S,
    )
    try:
        gateway.infer(request, cancel=cancel)
    except Cancelled:
        return time.perf_counter()
    raise BrokenRunError("a blocked call was answered")


def _jobs(bed: Bed, sandbox: Sandbox, port: int) -> tuple[list[float], list[float]]:
    """Return the seconds from each cancellation to the lost call, and to the stored end."""
    accepted = submit(bed, port, clients=JOBS, seconds=1.0, every_s=1.0)
    jobs = [json.loads(answer.body)["id"] for answer in accepted]
    bed.wait(lambda: _streaming(sandbox) == JOBS, "calls to stream", limit_s=PATIENCE_S)
    progress(f"abort: {JOBS} streaming jobs are cancelled")
    cancelled = cancel(bed, port, jobs, seconds=SPREAD_S)
    sent = {UUID(job): answer.sent_at for job, answer in zip(jobs, cancelled, strict=True)}
    connection = bed.connect()
    wait_until_ended(bed, connection, limit_s=PATIENCE_S)
    rows = connection.execute(
        "SELECT j.id, a.id, j.status, extract(epoch FROM j.finished_at)::float8"
        "  FROM aifeature_job j JOIN aifeature_attempt a ON a.job_id = j.id"
    ).fetchall()
    ended = {
        call["attempt_id"]: call["ended_at"]
        for call in sandbox.calls()
        if call["outcome"] == "client_gone"
    }
    if bad := [row for row in rows if row[2] != "cancelled" or str(row[1]) not in ended]:
        raise BrokenRunError(f"jobs were not cancelled, or their calls not aborted: {bad[:3]}")
    if len(rows) != JOBS:
        raise BrokenRunError(f"{JOBS} jobs made {len(rows)} calls")
    lost = [ended[str(attempt)] - sent[job] for job, attempt, _, _ in rows]
    return lost, [finished - sent[job] for job, _, _, finished in rows]


def _streaming(sandbox: Sandbox) -> int:
    """Return the number of calls with output."""
    return sum(call["usage"] is not None for call in sandbox.calls())


def _submissions(bed: Bed, port: int) -> list[float]:
    """Return the seconds of each submission while the broker is frozen."""
    with _frozen(bed.redis_url):
        answers = submit(bed, port, clients=SUBMISSIONS, seconds=FROZEN_S, every_s=FROZEN_S)
    return [answer.took_s for answer in answers]


@contextmanager
def _frozen(url: str) -> Iterator[None]:
    """Stop the process of Redis: it accepts connections and answers nothing."""
    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
