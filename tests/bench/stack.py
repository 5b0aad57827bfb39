"""The servers and processes of a bench, deleted at its end.

PostgreSQL is durable and configured as in production, since its speed is part of the figures. The
environment's DATABASE_URL and REDIS_URL are not used, because a bench floods both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql

from project.stack.children import PYTHON, Child, Launcher
from project.stack.components import Component
from project.stack.ports import HOST, take_port
from project.stack.signals import wait_until
from project.stack.throwaway import running
from tests.bench.report import BrokenRunError, progress
from tests.bench.sandbox import Sandbox
from tests.system import Seed, SetUpError, changed, component, environment, set_up

POSTGRES_OPTIONS = {
    "shared_buffers": "512MB",
    "effective_cache_size": "4GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "synchronous_commit": "on",
}
"""Settings of a small dedicated server; fsync is on, as in production."""

UNLIMITED = {"WEB_REQUESTS_PER_SECOND": "0", "WEB_REQUESTS_UNDER_WAY": "10000"}
"""All users of a bench have one address."""

START_S = 60.0
USERS = 200
USER_BUDGET_USD = "1000000"
"""Budget of a day: each call is checked against it, and none reaches it."""


@dataclass(frozen=True, slots=True)
class Bed:
    """A database and an empty Redis for one bench; starts processes on them."""

    env: dict[str, str]
    seed: Seed
    launcher: Launcher
    exits: ExitStack

    @property
    def redis_url(self) -> str:
        return self.env["REDIS_URL"]

    def connect(self) -> psycopg.Connection:
        """Open a connection that is closed with the bench."""
        return self.exits.enter_context(psycopg.connect(self.env["DATABASE_URL"], autocommit=True))

    def sandbox(self, *, latency_s: float, first_byte_s: float) -> Sandbox:
        """Start the sandbox provider; each answer takes `latency_s`, independent of its length."""
        port = self.exits.enter_context(take_port(9200))
        argv = [PYTHON, "-m", "workers.sandbox", "--host", HOST, "--port", str(port)]
        argv += ["--latency", str(latency_s), "--first-byte", str(first_byte_s)]
        sandbox = Sandbox(f"http://{HOST}:{port}")
        self.start("sandbox", argv, ready=sandbox.answers)
        self.env["ANTHROPIC_BASE_URL"] = sandbox.url
        return sandbox

    def worker(self, name: str, *, threads: int, app: str = "project") -> Child:
        """Start a worker of the local stack with other threads and another Celery app."""
        argv = changed(self._component("worker-llm").argv, {"-c": str(threads), "-A": app})
        return self.celery(name, argv)

    def control(self) -> Child:
        """Start the control worker, with the dispatcher."""
        return self.celery("control", self._component("worker-control").argv)

    def celery(self, name: str, argv: Sequence[str]) -> Child:
        """Start a Celery worker and wait until it takes tasks."""
        log = self.launcher.logs / f"{name}.log"
        argv = changed(argv, {"-n": f"{name}@%h"})
        return self.start(name, argv, ready=lambda: log.exists() and " ready." in log.read_text())

    def web(self, *, processes: int) -> tuple[Child, int]:
        """Start the web server of the local stack. Return it and its port."""
        port = self.exits.enter_context(take_port(9300))
        component = self._component("web", web=port)
        env = {**component.env, "WEB_CONCURRENCY": str(processes)}
        return self.start("web", component.argv, ready=component.ready, env=env), port

    def wait(self, until: Callable[[], bool], what: str, *, limit_s: float) -> None:
        """Wait for a condition. Raise BrokenRunError after the limit."""
        if not wait_until(until, timeout_s=limit_s, tick=lambda: None):
            raise BrokenRunError(f"waited {limit_s:.0f} s for {what}")

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a process that ends with the bench, and wait until it is ready."""
        child = self.launcher.launch(name, argv, env={**self.env, **(env or {})})
        self.exits.callback(child.stop)
        if not wait_until(ready, timeout_s=START_S, tick=child.check):
            raise BrokenRunError(f"{name} is not ready after {START_S:.0f} s: {child.log}")
        return child

    def _component(self, name: str, **ports: int) -> Component:
        return component(name, logs=self.launcher.logs, **ports)


@dataclass(frozen=True, slots=True)
class Stack:
    """The servers of one run, with a migrated database to copy."""

    env: dict[str, str]
    seed: Seed
    launcher: Launcher

    @contextmanager
    def bed(self, name: str) -> Iterator[Bed]:
        """Yield a copy of the database and an empty Redis for one bench."""
        url = self.copy(f"bench_{name}")
        redis.Redis.from_url(self.env["REDIS_URL"]).flushall()
        with ExitStack() as exits:
            env = {**self.env, **UNLIMITED, "DATABASE_URL": url}
            yield Bed(env, self.seed, self.launcher, exits)

    def copy(self, name: str) -> str:
        """Copy the migrated database. Return the URL of the copy."""
        template = self.env["DATABASE_URL"]
        maintenance = _with_database(template, "postgres")
        with psycopg.connect(maintenance, autocommit=True) as connection:
            old, new = sql.Identifier(urlsplit(template).path[1:]), sql.Identifier(name)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(new))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(new, old))
        return _with_database(template, name)


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Run PostgreSQL and Valkey, with a migrated database and users."""
    progress("starting PostgreSQL and Valkey")
    with running(durable=True, options=POSTGRES_OPTIONS) as servers:
        env = environment(servers.env)
        progress("migrating, making users")
        try:
            seed = set_up(env, users=USERS, user_budget_usd=USER_BUDGET_USD)
        except SetUpError as error:
            raise BrokenRunError(str(error)) from None
        # The servers' launcher: the reaper then ends our processes too.
        yield Stack(env, seed, servers.launcher)


def _with_database(url: str, name: str) -> str:
    parts = urlsplit(url)
    # Not `geturl`: it drops the empty host of a URL of a socket.
    return f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"
