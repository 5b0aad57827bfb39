"""An llm worker is paused past its lease, or killed, while it has calls in flight."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from aifeature.models import Attempt, Job, SpendWindow
from aifeature.services.streams.entries import key
from project.stack.children import Child
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
    wait_until,
)
from tests.held import FIRST_S, SECOND_S, Held, held
from tests.sandbox_server import SandboxServer

LEASE_S = 6
JOBS = 4
SOON_S = LEASE_S + 15.0
"""Until the jobs run again: what got lost on its way would be handed over anew after a minute."""

pytestmark = pytest.mark.timeout(LIMIT_S)


@pytest.fixture
def calls() -> Iterator[Held]:
    with held() as found:
        yield found


def start(processes: Processes) -> tuple[Child, Child]:
    """Two llm workers, and a control worker that notices what is abandoned."""
    processes.env["LEASE_SECONDS"] = str(LEASE_S)
    processes.env["PROVIDER_IDLE_TIMEOUT"] = str(LIMIT_S)
    with ThreadPoolExecutor(3) as pool:
        control = pool.submit(processes.control, "control")
        one, other = pool.submit(processes.llm, "one"), pool.submit(processes.llm, "other")
        control.result()
        return one.result(), other.result()


def in_flight(
    sandbox: SandboxServer, jobs: Sequence[Job], workers: tuple[Child, Child]
) -> tuple[Child, Child, list[Job]]:
    """The victim, the other worker, and the jobs that the victim runs, once all have their call.

    Either worker may have been quick enough to take them all: the victim is one that has some.
    """
    wait_until(lambda: len(sandbox.calls()) == len(jobs), "calls in flight")
    found = rows(jobs)
    victim, other = workers if ran_on(found[0], workers[0]) else workers[::-1]
    return victim, other, [row for row in found if ran_on(row, victim)]


def record_of(jobs: Sequence[Job]) -> dict[str, Any]:
    """All that is stored of these jobs, their calls and spend, and the text that is shown.

    But for the lease, which the worker that has them now extends.
    """
    ids = [job.pk for job in jobs]
    found: dict[str, Any] = {
        "jobs": [{**vars(row), "lease_until": None, "_state": None} for row in rows(jobs)],
        "calls": list(Attempt.objects.filter(job__in=ids).order_by("pk").values()),
        "windows": list(SpendWindow.objects.order_by("scope", "key").values()),
    }
    connection.close()
    with broker() as client:
        found["text"] = [client.xrange(key(row["id"], row["epoch"])) for row in found["jobs"]]
    return found


def test_a_worker_that_was_paused_past_its_lease_changes_nothing_afterwards(
    processes: Processes, sandbox: SandboxServer, calls: Held
) -> None:
    sandbox.set_faults(
        {"kind": "stall", "after_events": 6, "seconds": FIRST_S, "times": JOBS},
        {"kind": "slow_first_byte", "seconds": SECOND_S},
    )
    workers = start(processes)
    jobs = processes.queue(JOBS)
    victim, other, mine = in_flight(sandbox, jobs, workers)
    send_signal(victim, signal.SIGSTOP)
    calls.let_go(FIRST_S)  # the reader of these answers finds them whole when it goes on
    wait_until(lambda: len(sandbox.calls()) == JOBS + len(mine), "the jobs to run elsewhere")
    assert {(row.status, row.epoch, row.tries) for row in rows(mine)} == {("running", 2, 1)}
    wait_ended([job for job in jobs if job not in mine])  # their spend is in the same windows
    before = record_of(mine)

    send_signal(victim, signal.SIGCONT)
    wait_until(
        lambda: text_of(victim.log).count("was taken over; stopped") == len(mine),
        "the late answers to be refused",
    )
    assert record_of(mine) == before
    calls.let_go(SECOND_S)
    wait_ended(jobs)
    wait_until(lambda: all(record_of(mine)["text"]), "the text that readers are shown")
    for row, entries in zip(rows(mine), record_of(mine)["text"], strict=True):
        assert ran_on(row, other)
        lost, accepted = Attempt.objects.filter(job=row).order_by("number")
        assert (lost.state, lost.error_code, lost.output) == ("unknown", "lease_lost", "")
        assert accepted.state == "settled"
        assert row.charge_micro == accepted.cost_micro > 0
        shown = "".join(fields[b"text"].decode() for _, fields in entries)
        assert row.result is not None
        assert shown == row.result["summary"]
    charged = SpendWindow.objects.get(scope="user")
    assert (charged.spent_micro, charged.held_micro) == (
        sum(row.charge_micro for row in rows(jobs)),
        0,
    )
    assert "Traceback" not in text_of(victim.log)


def test_the_jobs_of_a_killed_worker_run_again_soon_after_their_lease(
    processes: Processes, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults({"kind": "stall", "after_events": 6, "seconds": LONG_S, "times": JOBS})
    workers = start(processes)
    jobs = processes.queue(JOBS)
    victim, other, mine = in_flight(sandbox, jobs, workers)
    send_signal(victim, signal.SIGKILL)
    killed = time.monotonic()
    took: dict[Any, float] = {}

    def all_run_again() -> bool:
        for row in rows(mine):
            if row.epoch == 2:
                took.setdefault(row.pk, time.monotonic() - killed)
        return len(took) == len(mine)

    wait_until(all_run_again, "the jobs to be claimed again")
    wait_ended(mine)
    with capsys.disabled():
        longest = max(took.values())
        print(f"\nkilled: {len(mine)} jobs ran again after {longest:.1f} s, lease {LEASE_S} s")  # noqa: T201
    assert max(took.values()) < SOON_S
    for row in rows(mine):
        assert ran_on(row, other)
        lost, accepted = Attempt.objects.filter(job=row).order_by("number")
        assert (lost.state, lost.error_code) == ("unknown", "lease_lost")
        assert accepted.state == "settled"
        assert row.charge_micro == accepted.cost_micro > 0
