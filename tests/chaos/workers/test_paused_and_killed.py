"""An llm worker with calls in flight is paused past its lease, or killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
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
    start_together,
    text_of,
    wait_ended,
    wait_until,
)
from tests.held import FIRST_S, SECOND_S, Held, held
from tests.sandbox_server import SandboxServer

LEASE_S = 6
JOBS = 4

pytestmark = pytest.mark.timeout(LIMIT_S)


@pytest.fixture
def calls() -> Iterator[Held]:
    with held() as found:
        yield found


def start(processes: Processes) -> tuple[Child, Child]:
    """Start two llm workers, and a control worker that finds abandoned runs."""
    processes.env["LEASE_SECONDS"] = str(LEASE_S)
    processes.env["PROVIDER_IDLE_TIMEOUT"] = str(LIMIT_S)
    _, one, other = start_together(
        lambda: processes.control("control"),
        lambda: processes.llm("one"),
        lambda: processes.llm("other"),
    )
    return one, other


def in_flight(
    sandbox: SandboxServer, jobs: Sequence[Job], workers: tuple[Child, Child]
) -> tuple[Child, Child, list[Job]]:
    """Wait for all calls. Return the victim, the other worker, and the jobs that the victim runs.

    One worker may have taken all jobs, so the victim is a worker with jobs.
    """
    wait_until(lambda: len(sandbox.calls()) == len(jobs), "calls in flight")
    found = rows(jobs)
    victim, other = workers if ran_on(found[0], workers[0]) else workers[::-1]
    return victim, other, [row for row in found if ran_on(row, victim)]


def record_of(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return everything stored about these jobs, except the lease, which the new worker extends."""
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


def test_a_worker_paused_past_its_lease_changes_nothing_and_a_killed_one_loses_no_job(
    processes: Processes, sandbox: SandboxServer, calls: Held
) -> None:
    """One test, since the paused worker is healthy again and a start takes long."""
    workers = start(processes)
    pause_one(processes, sandbox, calls, workers)
    kill_one(processes, sandbox, workers)


def pause_one(
    processes: Processes, sandbox: SandboxServer, calls: Held, workers: tuple[Child, Child]
) -> None:
    sandbox.set_faults(
        {"kind": "stall", "after_events": 6, "seconds": FIRST_S, "times": JOBS},
        {"kind": "slow_first_byte", "seconds": SECOND_S},
    )
    jobs = processes.queue(JOBS)
    victim, other, mine = in_flight(sandbox, jobs, workers)
    send_signal(victim, signal.SIGSTOP)
    calls.let_go(FIRST_S)  # the victim finds these answers complete when it continues
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
        # The last words wait for their guards, and come with the result.
        assert row.result["summary"].startswith(shown)
    charged = SpendWindow.objects.get(scope="user")
    assert (charged.spent_micro, charged.held_micro) == (
        sum(row.charge_micro for row in rows(jobs)),
        0,
    )
    assert "Traceback" not in text_of(victim.log)


def kill_one(processes: Processes, sandbox: SandboxServer, workers: tuple[Child, Child]) -> None:
    """Its jobs run again when their lease expires.

    The short chaos run limits the time until then (`longest_rescue_s`).
    """
    sandbox.reset()
    sandbox.set_faults({"kind": "stall", "after_events": 6, "seconds": LONG_S, "times": JOBS})
    jobs = processes.queue(JOBS)
    victim, other, mine = in_flight(sandbox, jobs, workers)
    send_signal(victim, signal.SIGKILL)
    wait_until(lambda: all(row.epoch >= 2 for row in rows(mine)), "the jobs to be claimed again")
    wait_ended(mine)
    for row in rows(mine):
        assert ran_on(row, other)
        lost, accepted = Attempt.objects.filter(job=row).order_by("number")
        assert (lost.state, lost.error_code) == ("unknown", "lease_lost")
        assert accepted.state == "settled"
        assert row.charge_micro == accepted.cost_micro > 0
