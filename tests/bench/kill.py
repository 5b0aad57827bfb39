"""How soon a pulled kill switch has stopped everything: calls in flight, queue, submissions."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

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
"""After the flip: long enough to see anything that comes too late."""


@dataclass(slots=True)
class Flip:
    """What a flip stopped, in seconds after a person pulled the switch."""

    stop_s: float
    """Until `switch.stop` had returned: the flip is committed, with its audit rows."""
    last_byte_s: float
    """Until the provider had lost the last call."""
    settled_s: float
    """Until the ledger had closed the last call."""
    accepted_s: float
    """Until the last submission was accepted; 0 if none was after it."""
    sent_after: int
    """Calls that arrived at the provider later than that they could have been on their way."""
    burnt: int
    """Jobs whose run counted as a try."""


@dataclass(slots=True)
class Clients:
    """Users who go on submitting, and when they were accepted."""

    bed: Bed
    port: int
    accepted: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> threading.Thread:
        """Begin to submit."""
        thread = threading.Thread(target=self._submit, args=(seconds,))
        thread.start()
        return thread

    def _submit(self, seconds: float) -> None:
        answers = submit(
            self.bed, self.port, clients=4, seconds=seconds, every_s=0.05, expect=(202, 503)
        )
        self.accepted = [a.sent_at + a.took_s for a in answers if a.status == 202]


def run(stack: Stack, _rounds: int) -> Figure:
    """One flip each: calls that stream and that do not, with Redis and with a frozen one."""
    values: dict[str, float | int] = {"in_flight": IN_FLIGHT}
    flips = {}
    for name, app in (("stream", "project"), ("plain", "tests.bench.worker_app")):
        for suffix, frozen in (("", False), ("_no_redis", True)):
            flip = _flip(stack, app, frozen=frozen)
            flips[name + suffix] = flip
            progress(f"kill: {name}{suffix}: {flip.last_byte_s:.2f} s")
            values[f"{name}{suffix}_s"] = flip.last_byte_s
    every = flips.values()
    values["stop_s"] = max(flip.stop_s for flip in every)
    values["settled_s"] = max(flip.settled_s for flip in every)
    values["accepted_s"] = max(flip.accepted_s for flip in every)
    values["sent_after"] = sum(flip.sent_after for flip in every)
    values["burnt"] = sum(flip.burnt for flip in every)
    aims = (
        *(Aim(f"{name}_s", "at most", 1.0) for name in ("stream", "plain", "accepted")),
        *(Aim(f"{name}_no_redis_s", "at most", 2.0) for name in ("stream", "plain")),
        Aim("stop_s", "at most", 2.0),
        Aim("sent_after", "at most", 0),
        Aim("burnt", "at most", 0),
    )
    note = (
        "seconds from a person's pull until the provider had lost the last call; stop, settled,"
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
        insert_jobs(connection, bed.seed.users, IN_FLIGHT + QUEUED)
        connection.execute("UPDATE aifeature_job SET published_at = NULL")
        bed.wait(lambda: _open(sandbox) == IN_FLIGHT, "calls to be in flight", limit_s=PATIENCE_S)
        clients = Clients(bed, port)
        thread = clients.run(WATCH_S + 2.0)
        time.sleep(1.0)
        if frozen:
            with redis.Redis.from_url(bed.redis_url) as client:
                client.client_pause(int((WATCH_S + 2.0) * 1000))
            time.sleep(0.5)
        pulled, returned = staff.stop("summarize", cancels=False)
        thread.join()
        return _what_happened(bed, sandbox, clients, pulled, returned)


def _what_happened(
    bed: Bed, sandbox: Sandbox, clients: Clients, pulled: float, returned: float
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
        accepted_s=max([0.0, *(at - pulled for at in clients.accepted)]),
        sent_after=sum(call["started_at"] > pulled + 1.0 for call in calls),
        burnt=len(tried),
    )


def _open(sandbox: Sandbox) -> int:
    return sum(call["ended_at"] is None for call in sandbox.calls())
