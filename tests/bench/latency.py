"""The time from a user's request to the arrival of its call at the provider, on an idle system."""

from __future__ import annotations

import json
from uuid import UUID

from tests.bench.figures import percentile
from tests.bench.load import finished, wait_until_ended
from tests.bench.report import Aim, Figure, progress
from tests.bench.stack import Bed, Stack
from tests.bench.visitors import submit

PER_S = 10
SECONDS = 20.0
THREADS = 16
WARM_UP_S = 3.0
CALL_S = 0.5
FIRST_BYTE_S = 0.1
PATIENCE_S = 30.0


def run(stack: Stack, _rounds: int) -> Figure:
    """Submit ten jobs a second over HTTP, and time each until its call arrives in the sandbox."""
    with stack.bed("latency") as bed:
        sandbox = bed.sandbox(latency_s=CALL_S, first_byte_s=FIRST_BYTE_S)
        bed.worker("job", threads=THREADS)
        _, port = bed.web(processes=2)
        _submitted(bed, port, WARM_UP_S)
        sandbox.clear()
        progress(f"added_latency: {PER_S} jobs/s for {SECONDS:.0f} s")
        sent = _submitted(bed, port, SECONDS)
        arrived = {call["attempt_id"]: call["started_at"] for call in sandbox.completed(len(sent))}
        calls = bed.connect().execute(
            "SELECT job_id, id FROM aifeature_attempt WHERE job_id = ANY(%s)", [list(sent)]
        )
        added = [(arrived[str(attempt)] - sent[job]) * 1000 for job, attempt in calls]
    values = {
        "p50_ms": percentile(added, 50),
        "p95_ms": percentile(added, 95),
        "jobs": len(added),
    }
    aims = (Aim("p50_ms", "at most", 20), Aim("p95_ms", "at most", 50))
    note = f"from sending the POST to the call's arrival in the sandbox, {PER_S} jobs/s"
    return Figure("added_latency", values, aims, note)


def _submitted(bed: Bed, port: int, seconds: float) -> dict[UUID, float]:
    """Submit at the pace, wait until all have ended, and return the time of each request."""
    answers = submit(bed, port, clients=PER_S, seconds=seconds, every_s=1.0)
    sent = {UUID(json.loads(answer.body)["id"]): answer.sent_at for answer in answers}
    connection = bed.connect()
    wait_until_ended(bed, connection, limit_s=PATIENCE_S)
    finished(connection, list(sent))
    return sent
