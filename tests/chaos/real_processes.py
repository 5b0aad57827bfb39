"""Real processes on the servers of the test run: its database, Redis and sandbox provider.

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
from project.stack import signals
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
"""Limit of each wait: far above the start of three processes together on a busy machine."""

LIMIT_S: Final = 400
"""Limit of a whole test."""

LONG_S: Final = 3600.0

Started = TypeVar("Started")

_numbers = itertools.count(1)
_ports = itertools.cycle(range(11_000, 15_000, 100))
"""First port that each server tries. The lock on a port until its server listens works between
processes only, so two servers of one process must not try the same one."""


@dataclass(frozen=True, slots=True)
class Site:
    """One web server and its client; safe for any number of threads."""

    child: Child
    client: httpx2.Client

    def submit(self) -> httpx2.Response:
        return self.client.post("/features/summarize/jobs", json={"input": DOCUMENT})

    def job(self, job_id: str, *, wait_s: float = 0) -> httpx2.Response:
        """Get a job; the server waits up to `wait_s` seconds for its end."""
        return self.client.get(f"/jobs/{job_id}", params={"wait": wait_s})

    def follow(self, job: Job, stream: Stream) -> None:
        """Read the job's events until the server ends them, from the stream's position."""
        headers = {"last-event-id": stream.last_id} if stream.text else {}
        with self.client.stream("GET", f"/jobs/{job.id}/events", headers=headers) as response:
            assert response.status_code == 200
            for chunk in response.iter_raw():
                stream.take(chunk)


@dataclass(frozen=True, slots=True)
class Processes:
    """Starts the processes of one test, with unique names."""

    env: dict[str, str]
    launcher: Launcher
    exits: ExitStack
    user: User
    token: str
    release: Path = field(default=CHECKOUT)
    """The folder with their code."""

    def llm(self, name: str, *, threads: int = 4) -> Child:
        return self._celery(name, "worker-llm", {"-c": str(threads)})

    def control(self, name: str) -> Child:
        return self._celery(name, "worker-control", {})

    def beat(self, name: str) -> Child:
        name = self._named(name)
        log = self.launcher.logs / f"{name}.log"
        return self._start(name, self._component("beat").argv, logged(log, "Starting..."))

    def flower(self, name: str) -> Child:
        port = self.exits.enter_context(take_port(next(_ports)))
        flower = self._component("flower", flower=port)
        return self._start(self._named(name), flower.argv, flower.ready, flower.env)

    def web(self, name: str) -> Site:
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
        """Create due jobs of the user, and publish as many as the window allows."""
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
    """Processes of one test. Ada may use `summarize`."""
    with processes_for(ada, sandbox) as found:
        yield found


@contextmanager
def processes_for(user: User, sandbox: SandboxServer) -> Iterator[Processes]:
    """Yield processes on the database that Django is connected to, and an empty Redis."""
    # In the folders of the servers, so that their watcher ends our processes too.
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
    return redis.Redis.from_url(settings.REDIS_URL, protocol=2)


def job_of(user: User) -> dict[str, Any]:
    """Return the fields of a due job."""
    deadline = Now() + timedelta(seconds=300)
    return {"user": user, "feature": "summarize", "input": DOCUMENT, "deadline_at": deadline}


def start_together(*starts: Callable[[], Started]) -> list[Started]:
    """Start several processes at the same time: most of a start is waiting."""
    with ThreadPoolExecutor(len(starts)) as pool:
        return list(pool.map(lambda start: start(), starts))


def wait_for_exit(child: Child, *, within_s: float) -> float:
    """Wait until a process exits with code 0. Return the seconds it took."""
    began = time.monotonic()
    assert child.process.wait(within_s) == 0, text_of(child.log)
    return time.monotonic() - began


def send_signal(child: Child, signum: signal.Signals) -> None:
    child.stopping = True
    os.kill(child.process.pid, signum)


def ran_on(job: Job, child: Child) -> bool:
    """Return whether this worker claimed the job last."""
    return job.worker.endswith(f"/{child.process.pid}")


def rows(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs as they are now, in the same order."""
    found = {row.pk: row for row in Job.objects.filter(pk__in=[job.pk for job in jobs])}
    connection.close()
    return [found[job.pk] for job in jobs]


def wait_until(condition: Callable[[], object], what: str) -> None:
    met = signals.wait_until(lambda: bool(condition()), timeout_s=BOUND_S)
    assert met, f"waited {BOUND_S:.0f} s for {what}"


def wait_ended(jobs: Sequence[Job], status: Status = Status.SUCCEEDED) -> None:
    wait_until(
        lambda: {row.status for row in rows(jobs)} == {status},
        f"{len(jobs)} jobs to be {status}",
    )


def text_of(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def _kill_all(launcher: Launcher) -> None:
    for entry in recorded(launcher.pids):
        if entry.run == launcher.run:
            for process in members(entry):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
