"""The delay of live text for a thousand readers of running jobs on one web process.

The delay of a piece of text is the time from the worker's XADD, which the entry's id contains, to
the moment the reader's process has received an event with it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any
from uuid import UUID

import psutil
import redis

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST
from tests.bench.figures import percentile
from tests.bench.load import FEATURE, Queue, finished, insert_jobs
from tests.bench.memory import MEGABYTE, sampled
from tests.bench.report import Aim, BrokenRunError, Figure, progress
from tests.bench.sse_client import Workload
from tests.bench.stack import Bed, Stack

READERS = 1_000
JOBS = 20
"""Each of another user, with fifty readers."""

CALL_S = 15.0
FIRST_BYTE_S = 1.0
APART_S = 0.25
"""Seconds between two jobs, which begin and end one after the other, like those of real users."""

LIMIT_S = 120.0


def run(stack: Stack, _rounds: int) -> Figure:
    """Connect all readers, run the jobs, and compare the written text with the received one."""
    with stack.bed("streams") as bed:
        bed.env["STREAMS_PER_USER"] = str(READERS // JOBS)
        bed.sandbox(latency_s=CALL_S, first_byte_s=FIRST_BYTE_S)
        worker = bed.worker("job", threads=JOBS)
        web, port = bed.web(processes=1)
        [process] = psutil.Process(web.process.pid).children()
        connection = bed.connect()
        jobs = insert_jobs(connection, bed.seed.users, JOBS)
        queue = Queue(bed.redis_url, "llm", bed.exits)
        with sampled(process) as samples:
            readers = _Readers(bed, port, jobs)
            progress(f"streams: {READERS} readers are connected")
            for job in jobs:
                queue.send("llm.run_job", {"job_id": str(job)})
                time.sleep(APART_S)
            queue.drain(worker, limit_s=LIMIT_S)
            received = readers.received()
        finished(connection, jobs)
        rows = connection.execute("SELECT id, result FROM aifeature_job").fetchall()
        summaries = {job: result["summary"] for job, result in rows}
        written = _written(bed.redis_url, jobs)
    delays = _checked_delays(jobs, received, summaries, written)
    pieces = list(chain.from_iterable(got["pieces"] for got in received))
    span = max(moment for _, moment in pieces) - min(moment for _, moment in pieces)
    values = {
        "readers": READERS,
        "relay_p50_ms": percentile(delays, 50),
        "relay_p95_ms": percentile(delays, 95),
        "events_per_s": len(pieces) / span,
        "web_rss_mb": max(samples) / MEGABYTE,
        "idle_web_rss_mb": samples[0] / MEGABYTE,
    }
    note = f"from the worker's XADD to the reader; {JOBS} jobs of {CALL_S:.0f} s, one web process"
    return Figure("streams", values, (Aim("relay_p95_ms", "at most", 50),), note)


def _checked_delays(
    jobs: Sequence[UUID],
    received: Sequence[Mapping[str, Any]],
    summaries: Mapping[UUID, str],
    written: Mapping[UUID, Sequence[tuple[int, float]]],
) -> list[float]:
    """Return the delays of all entries at all readers, in milliseconds.

    Raises BrokenRunError if a reader's text is not the stored one.
    """
    delays: list[float] = []
    for number, got in enumerate(received):
        job = jobs[number % JOBS]
        if got["last"] != "result" or got["text"] != summaries[job]:
            raise BrokenRunError(f"a reader ended with {got['last']!r}, without the whole text")
        delays += _delays_ms(written[job], got["pieces"])
    return delays


class _Readers:
    """The process of the readers."""

    def __init__(self, bed: Bed, port: int, jobs: Sequence[UUID]) -> None:
        """Start it and wait until all streams have begun, or raise BrokenRunError."""
        self._process = subprocess.Popen(
            [PYTHON, "-m", "tests.bench.sse_client"],
            cwd=CHECKOUT,
            env=bed.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        bed.exits.callback(self._stop)
        streams = [
            (f"/api/v1/jobs/{jobs[number % JOBS]}/events", bed.seed.tokens[number % JOBS])
            for number in range(READERS)
        ]
        workload = Workload(HOST, port, streams, LIMIT_S)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._output = self._process.stdout
        with self._process.stdin as given:
            given.write(json.dumps(asdict(workload)))
        if self._output.readline() != "reading\n":
            raise BrokenRunError("the readers did not get their first event")

    def received(self) -> list[dict[str, Any]]:
        """Return the result of each reader, once all streams have ended."""
        raw = self._output.read()
        if self._process.wait(LIMIT_S):
            raise BrokenRunError("the readers failed")
        found: list[dict[str, Any]] = json.loads(raw)
        return found

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()


def _written(redis_url: str, jobs: Sequence[UUID]) -> dict[UUID, list[tuple[int, float]]]:
    """Return the end offset and the time of each entry of each job."""
    found = {}
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        for job in jobs:
            entries = client.xrange(f"aif:stream:{job}:1")
            if not entries:
                raise BrokenRunError(f"a job of {FEATURE} has no stream")
            found[job] = [
                (int(fields[b"offset"]) + len(fields[b"text"].decode()), _moment(name))
                for name, fields in entries
            ]
    return found


def _moment(entry_id: bytes) -> float:
    return int(entry_id.partition(b"-")[0]) / 1000


def _delays_ms(
    written: Sequence[tuple[int, float]], pieces: Sequence[tuple[int, float]]
) -> list[float]:
    """Return the delay of each entry, which may arrive together with later ones."""
    return [
        (next(moment for offset, moment in pieces if offset >= end) - added) * 1000
        for end, added in written
    ]
