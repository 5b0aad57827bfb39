"""Real processes on the test run's own servers: its database, its Redis, its sandbox provider.

Starting servers for each test would take longer than the tests.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import psutil
import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import ApiToken, Job, Status
from aifeature.services.dispatch import publisher
from project.stack.children import Child, Launcher
from project.stack.components import Component
from project.stack.local_dir import CHECKOUT
from project.stack.ports import take_port
from project.stack.processes import RUN_VARIABLE, members, recorded
from project.stack.readiness import Check, logged
from tests.integration.api.api_jobs import DOCUMENT
from tests.integration.streams.readers import Stream
from tests.integration.streams.web_server import HOST, database_url
from tests.sandbox_server import SandboxServer
from tests.system import changed, component

BOUND_S: Final = 120.0
"""Far above what anything here takes, three processes that start at once on a busy machine too."""

LIMIT_S: Final = 400
"""Of a whole test with such bounds."""

LONG_S: Final = 3600.0

Started = TypeVar("Started")

_numbers = itertools.count(1)
_ports = itertools.cycle(range(11_000, 15_000, 100))
"""Where each looks for one: only another process heeds the lock that keeps a port until its server
listens. A port that was merely free a moment ago may be anybody's by then."""


@dataclass(frozen=True, slots=True)
class Site:
    """One web server, as clients with a token see it; safe for any number of threads."""

    child: Child
    client: httpx2.Client

    def submit(self) -> httpx2.Response:
        """Submit a document."""
        return self.client.post("/features/summarize/jobs", json={"input": DOCUMENT})

    def job(self, job_id: str, *, wait_s: float = 0) -> httpx2.Response:
        """Ask for a job, and wait for its end if `wait_s` is given."""
        return self.client.get(f"/jobs/{job_id}", params={"wait": wait_s})

    def follow(self, job: Job, stream: Stream) -> None:
        """Read the job's events until the server ends them, from where the stream is."""
        headers = {"last-event-id": stream.last_id} if stream.text else {}
        with self.client.stream("GET", f"/jobs/{job.id}/events", headers=headers) as response:
            assert response.status_code == 200
            for chunk in response.iter_raw():
                stream.take(chunk)


@dataclass(frozen=True, slots=True)
class Processes:
    """Starts the processes of one test, under names that no other process has."""

    env: dict[str, str]
    launcher: Launcher
    exits: ExitStack
    user: User
    token: str
    release: Path = field(default=CHECKOUT)
    """The folder whose code they run."""

    def llm(self, name: str, *, threads: int = 4) -> Child:
        """Start an llm worker and wait until it takes jobs."""
        return self._celery(name, "worker-llm", {"-c": str(threads)})

    def control(self, name: str) -> Child:
        """Start a control worker and wait until it takes tasks."""
        return self._celery(name, "worker-control", {})

    def beat(self, name: str) -> Child:
        """Start a beat."""
        name = self._named(name)
        log = self.launcher.logs / f"{name}.log"
        return self._start(name, self._component("beat").argv, logged(log, "Starting..."))

    def web(self, name: str) -> Site:
        """Start a web server with one process, and wait until it answers."""
        port = self.exits.enter_context(take_port(next(_ports)))
        web = self._component("web", web=port)
        argv = changed(web.argv, {"-c": "deploy/gunicorn.conf.py"})
        env = {**web.env, "WEB_CONCURRENCY": "1"}
        child = self._start(self._named(name), argv, web.ready, env)
        client = httpx2.Client(
            base_url=f"http://{HOST}:{port}/api/v1",
            headers={"authorization": f"Bearer {self.token}"},
            trust_env=False,
            timeout=BOUND_S,
        )
        return Site(child, self.exits.enter_context(client))

    def queue(self, count: int) -> list[Job]:
        """Jobs of the user, due now, handed over as far as the window allows."""
        made = [Job.objects.create(**job_of(self.user)) for _ in range(count)]
        publisher.refill()
        connection.close()
        return made

    def _celery(self, name: str, kind: str, options: Mapping[str, str]) -> Child:
        name = self._named(name)
        argv = changed(self._component(kind).argv, {"-n": f"{name}@%h", **options})
        return self._start(name, argv, logged(self.launcher.logs / f"{name}.log", " ready."))

    def _start(
        self, name: str, argv: Sequence[str], ready: Check, env: Mapping[str, str] | None = None
    ) -> Child:
        env = {**self.env, **(env or {})}
        child = self.launcher.launch(name, argv, env=env, cwd=self.release)
        self.exits.callback(child.stop)

        def is_ready() -> bool:
            child.check()
            return ready()

        wait_until(is_ready, f"{name} to be ready")
        return child

    def _component(self, name: str, **ports: int) -> Component:
        return component(name, logs=self.launcher.logs, **ports)

    def _named(self, name: str) -> str:
        return f"{name}-{self.launcher.run[:6]}-{next(_numbers)}"


@pytest.fixture
def processes(
    committed: None, opened: None, ada: User, sandbox: SandboxServer
) -> Iterator[Processes]:
    """Ada may use `summarize`; what is published goes to this test's processes alone."""
    with processes_for(ada, sandbox) as found:
        yield found


@contextmanager
def processes_for(user: User, sandbox: SandboxServer) -> Iterator[Processes]:
    """A processes on the database that Django is connected to, and an empty Redis."""
    # Beside the servers' own folders: the warden that watches over them ends our processes too.
    root = Path(os.environ["LOCAL_DIR"]).parent
    launcher = Launcher(root / "pids", root / "logs", secrets.token_hex(8))
    env = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "ANTHROPIC_BASE_URL": sandbox.url,
        "ALLOWED_HOSTS": HOST,
        RUN_VARIABLE: launcher.run,
    }
    token = ApiToken.issue(user_id=user.pk, name="test")[1]
    connection.close()
    with broker() as client, ExitStack() as exits:
        client.flushdb()
        exits.callback(client.flushdb)
        try:
            yield Processes(env, launcher, exits, user, token)
        finally:
            _kill_all(launcher)


def broker() -> redis.Redis:
    """The Redis of the run."""
    return redis.Redis.from_url(settings.REDIS_URL, protocol=2)


def job_of(user: User) -> dict[str, Any]:
    """The fields of a job that is due."""
    deadline = Now() + timedelta(seconds=300)
    return {"user": user, "feature": "summarize", "input": DOCUMENT, "deadline_at": deadline}


def start_together(*starts: Callable[[], Started]) -> list[Started]:
    """Start several processes side by side: most of a start is waiting."""
    with ThreadPoolExecutor(len(starts)) as pool:
        return list(pool.map(lambda start: start(), starts))


def wait_for_exit(child: Child, *, within_s: float) -> float:
    """Wait for a process to end well. Returns the seconds it took."""
    began = time.monotonic()
    assert child.process.wait(within_s) == 0, text_of(child.log)
    return time.monotonic() - began


def send_signal(child: Child, signum: signal.Signals) -> None:
    """Send a signal to this process."""
    child.stopping = True
    os.kill(child.process.pid, signum)


def ran_on(job: Job, child: Child) -> bool:
    """Whether this worker claimed it last."""
    return job.worker.endswith(f"/{child.process.pid}")


def rows(jobs: Sequence[Job]) -> list[Job]:
    """As they are now, in the order given."""
    found = {row.pk: row for row in Job.objects.filter(pk__in=[job.pk for job in jobs])}
    connection.close()
    return [found[job.pk] for job in jobs]


def wait_until(condition: Callable[[], object], what: str, *, within_s: float = BOUND_S) -> float:
    """Wait for something. Returns the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"waited {within_s:.0f} s for {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def wait_ended(jobs: Sequence[Job], status: Status = Status.SUCCEEDED) -> None:
    """Wait until all of them have this status."""
    wait_until(
        lambda: {row.status for row in rows(jobs)} == {status},
        f"{len(jobs)} jobs to be {status}",
    )


def text_of(log: Path) -> str:
    """What a process has written so far."""
    return log.read_text(errors="replace") if log.exists() else ""


def _kill_all(launcher: Launcher) -> None:
    """What a test wanted to see of a process's end, it has seen."""
    for entry in recorded(launcher.pids):
        if entry.run == launcher.run:
            for process in members(entry):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
