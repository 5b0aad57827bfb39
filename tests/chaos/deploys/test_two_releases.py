"""An old and a new release serve and work side by side on the schema of the new one."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from aifeature.models import Attempt, Job
from project.stack.children import Child
from tests.chaos.deploys.two_releases import NEW, copied_database, manage, with_priorities
from tests.chaos.real_processes import (
    BOUND_S,
    LIMIT_S,
    Processes,
    Site,
    job_of,
    processes_for,
    ran_on,
    rows,
    send_signal,
    text_of,
    wait_ended,
    wait_for_exit,
    wait_until,
)
from tests.sandbox_server import SandboxServer

VISITORS = 2
ENOUGH = 4
"""Jobs in each phase."""

BREATH_S = 0.1
"""Between two visits: the processes that start meanwhile need the processor as well."""


ALL = {(made, run) for made in ("old", "new") for run in ("old", "new")}


@dataclass
class Visitors:
    """Users who submit each job to one site and poll it on another."""

    sites: list[Site]
    accepted: list[tuple[Site, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Of one visitor; any answer that is not as it should be ends it."""
        while not self.over.wait(BREATH_S):
            site = random.choice(self.sites)
            submitted = site.submit()
            assert submitted.status_code == 202, submitted.text
            job_id = submitted.json()["id"]
            self.accepted.append((site, job_id))
            answer = random.choice(self.sites).job(job_id, wait_s=10)
            assert answer.status_code == 200, answer.text

    def submit_more(self, site: Site) -> None:
        """Wait until this site has accepted some more jobs."""
        wanted = self._accepted_by(site) + ENOUGH
        wait_until(lambda: self._accepted_by(site) >= wanted, "more jobs")

    def _accepted_by(self, site: Site) -> int:
        return sum(where is site for where, _ in self.accepted)


@contextmanager
def visiting(sites: list[Site]) -> Iterator[Visitors]:
    """Visitors who come and go while the block runs; none of them may see anything of a deploy."""
    visitors = Visitors(sites)
    with ThreadPoolExecutor(VISITORS) as pool:
        runs = [pool.submit(visitors.run) for _ in range(VISITORS)]
        try:
            yield visitors
        finally:
            visitors.over.set()
            for run in runs:
                run.result(timeout=BOUND_S)


@pytest.fixture
def processes(
    committed: None, opened: None, ada: User, sandbox: SandboxServer
) -> Iterator[Processes]:
    """Processes on a copy of the database."""
    with copied_database(), processes_for(ada, sandbox) as found:
        yield found


@pytest.mark.timeout(2 * LIMIT_S)
def test_old_and_new_processes_run_side_by_side_on_an_expanded_schema(
    processes: Processes, sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.set_faults({"kind": "slow_first_byte", "seconds": 0.2})
    new = with_priorities(tmp_path)
    old_web, old_worker = both(processes)
    with visiting([old_web]) as visitors:
        visitors.submit_more(old_web)
        manage(processes, new.folder, "migrate", "-v0")
        visitors.submit_more(old_web)
        call_command("check", databases=["default"], fail_level="WARNING")
        new_web, _ = both(replace(processes, release=new.folder))
        visitors.sites = [old_web, new_web]
        wait_until(lambda: made_and_run() == ALL, "each release to run jobs of each")
        visitors.sites = [new_web]  # a new list: a thread may use the old one
        for child in (old_worker, old_web.child):
            send_signal(child, signal.SIGTERM)
            wait_for_exit(child, within_s=BOUND_S)
        visitors.submit_more(new_web)
    by_old_code = Job.objects.create(**job_of(processes.user))  # without a priority

    ids = [job_id for _, job_id in visitors.accepted]
    jobs = list(Job.objects.all())
    assert sorted(str(job.pk) for job in jobs) == sorted([*ids, str(by_old_code.pk)])
    wait_ended(jobs)
    jobs = rows(jobs)
    assert {(job.attempts, job.tries) for job in jobs} == {(1, 0)}
    assert Attempt.objects.filter(state="settled").count() == len(jobs)
    assert all(job.charge_micro > 0 for job in jobs)
    assert all(job.worker.startswith(NEW) or ran_on(job, old_worker) for job in jobs)
    for log in sorted(processes.launcher.logs.glob(f"*{processes.launcher.run[:6]}*.log")):
        assert "Traceback" not in text_of(log), text_of(log)


def both(processes: Processes) -> tuple[Site, Child]:
    """A web server and an llm worker."""
    with ThreadPoolExecutor(2) as pool:
        site, worker = pool.submit(processes.web, "web"), pool.submit(processes.llm, "llm")
        return site.result(), worker.result()


def made_and_run() -> set[tuple[str, str]]:
    """Which release accepted a job that has ended, and which ran it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT CASE priority WHEN 1 THEN 'new' ELSE 'old' END,"
            " CASE WHEN starts_with(worker, %s) THEN 'new' ELSE 'old' END"
            " FROM aifeature_job WHERE status = 'succeeded'",
            [NEW],
        )
        found = set(cursor.fetchall())
    connection.close()
    return found
