"""An old and a new release serve and work side by side on the schema of the new one."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from aifeature.models import Attempt, Job
from project.stack.children import Child
from tests.chaos.crew import (
    Crew,
    Site,
    crew_of,
    ended,
    job_of,
    ran_on,
    rows,
    tell,
    text_of,
    wait_ended,
    wait_until,
)
from tests.chaos.deploys.two_releases import NEW, copied_database, manage, with_priorities
from tests.sandbox_server import SandboxServer

VISITORS = 2
ENOUGH = 4
"""Jobs in each phase."""


@dataclass
class Visitor(threading.Thread):
    """Submits a job to one site, asks another for its end, and so on until told to stop."""

    sites: list[Site]
    over: threading.Event
    accepted: list[tuple[Site, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.visit()
            except (httpx2.TransportError, ValueError) as error:
                self.errors.append(repr(error))

    def visit(self) -> None:
        site = random.choice(self.sites)
        submitted = site.submit()
        self.answers.append(submitted.status_code)
        if submitted.status_code != 202:
            return
        job_id = submitted.json()["id"]
        self.accepted.append((site, job_id))
        answer = random.choice(self.sites).job(job_id, wait_s=10)
        self.answers.append(answer.status_code)

    __hash__ = threading.Thread.__hash__


@pytest.fixture
def crew(committed: None, opened: None, ada: User, sandbox: SandboxServer) -> Iterator[Crew]:
    """Processes on a copy of the database."""
    with copied_database(), crew_of(ada, sandbox) as found:
        yield found


def test_old_and_new_processes_run_side_by_side_on_an_expanded_schema(
    crew: Crew, sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.set_faults({"kind": "slow_first_byte", "seconds": 0.2})
    new = with_priorities(tmp_path)
    after = replace(crew, release=new.folder, env={**crew.env})
    old_web, old_worker = both(crew)
    sites, over = [old_web], threading.Event()
    visitors = [Visitor(sites, over) for _ in range(VISITORS)]

    def accepted(site: Site) -> int:
        return sum(where is site for v in visitors for where, _ in v.accepted)

    def more(site: Site) -> None:
        wanted = accepted(site) + ENOUGH
        wait_until(lambda: accepted(site) >= wanted, "more jobs")

    for visitor in visitors:
        visitor.start()
    more(old_web)
    manage(crew, new.folder, "migrate", "-v0")
    more(old_web)
    call_command("check", databases=["default"], fail_level="WARNING")
    new_web, _ = both(after)
    sites.append(new_web)
    more(new_web)
    more(old_web)
    sites.remove(old_web)
    tell(old_worker, signal.SIGTERM)
    tell(old_web.child, signal.SIGTERM)
    ended(old_worker, within_s=20)
    ended(old_web.child, within_s=20)
    more(new_web)
    over.set()
    for visitor in visitors:
        visitor.join(20)
        assert visitor.errors == []
        assert set(visitor.answers) <= {200, 202}
    by_old_code = Job.objects.create(**job_of(crew.user))  # this process knows no priority

    ids = [job_id for visitor in visitors for _, job_id in visitor.accepted]
    jobs = list(Job.objects.all())
    assert sorted(str(job.pk) for job in jobs) == sorted([*ids, str(by_old_code.pk)])
    wait_ended(jobs)
    jobs = rows(jobs)
    assert {(job.attempts, job.tries) for job in jobs} == {(1, 0)}
    assert Attempt.objects.filter(state="settled").count() == len(jobs)
    assert all(job.charge_micro > 0 for job in jobs)
    assert {(job.pk in prioritised(), job.worker.startswith(NEW)) for job in jobs} == {
        (made, run) for made in (True, False) for run in (True, False)
    }, "each release runs jobs of each"
    assert all(job.worker.startswith(NEW) or ran_on(job, old_worker) for job in jobs)
    for log in sorted(crew.launcher.logs.glob(f"*{crew.launcher.run[:6]}*.log")):
        assert "Traceback" not in text_of(log), text_of(log)


def both(crew: Crew) -> tuple[Site, Child]:
    """A web server and an llm worker."""
    with ThreadPoolExecutor(2) as pool:
        site, worker = pool.submit(crew.web, "web"), pool.submit(crew.llm, "llm")
        return site.result(), worker.result()


def prioritised() -> set[object]:
    """The jobs that the new release made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM aifeature_job WHERE priority = 1")
        return {row[0] for row in cursor.fetchall()}
