"""An llm worker gets SIGTERM while it works."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from aifeature.models import Attempt, Worker
from tests.chaos.real_processes import (
    LIMIT_S,
    LONG_S,
    Processes,
    broker,
    ran_on,
    rows,
    send_signal,
    text_of,
    wait_ended,
    wait_for_exit,
    wait_until,
)
from tests.held import FIRST_S, held
from tests.sandbox_server import SandboxServer

GRACE_S = 5.0
THREADS = 4
EXIT_S = 60.0
"""From the last job's end to the process's: Python takes its modules down."""

pytestmark = pytest.mark.timeout(LIMIT_S)


def test_a_worker_that_is_stopped_ends_or_puts_back_its_jobs_and_another_runs_the_rest(
    processes: Processes, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    processes.env["WORKER_GRACE_SECONDS"] = str(GRACE_S)
    sandbox.set_faults(
        {"kind": "slow_first_byte", "seconds": LONG_S, "times": 2},
        {"kind": "slow_first_byte", "seconds": FIRST_S},
    )
    with held() as answers, ThreadPoolExecutor(1) as pool:
        old = processes.llm("old", threads=THREADS)
        jobs = processes.queue(10)
        wait_until(lambda: len(sandbox.calls()) == THREADS, "calls in flight")
        send_signal(old, signal.SIGTERM)
        wait_until(lambda: "stopping: " in text_of(old.log), "the grace period to begin")
        answers.let_go(FIRST_S)  # answered within it, however late the signal arrived
        successor = pool.submit(processes.llm, "new", threads=THREADS)
        took = wait_for_exit(old, within_s=GRACE_S + EXIT_S)
        successor.result()
        wait_ended(jobs)
    with capsys.disabled():
        print(f"\nworker: ended {took:.1f} s after SIGTERM, grace {GRACE_S} s")  # noqa: T201

    finished = rows(jobs)
    aborted = [row for row in finished if row.attempts == 2]
    assert len(aborted) == 2
    for row in aborted:
        assert (row.epoch, row.tries) == (3, 0), "claimed, released, claimed; no try burnt"
        assert not ran_on(row, old)
        calls = Attempt.objects.filter(job=row).order_by("number")
        assert [call.state for call in calls] == ["unknown", "settled"]
        assert row.charge_micro == calls[1].cost_micro > 0
    within_grace = [row for row in finished if ran_on(row, old)]
    assert len(within_grace) == THREADS - 2, "it claimed more after it was told to stop"
    assert {(row.epoch, row.attempts) for row in within_grace} == {(1, 1)}
    assert Worker.objects.get(name__endswith=f"/{old.process.pid}").slots == 0
    assert "Traceback" not in text_of(old.log)
    with broker() as queue:
        wait_until(lambda: queue.llen("llm") + queue.hlen("unacked") == 0, "messages to be done")
