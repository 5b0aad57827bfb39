"""Single processes of the system, on servers of a test that it may stop and start again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import psycopg

from project.stack.children import Child
from project.stack.ports import HOST, take_port
from project.stack.postgres_account import POSTGRES_BIN_PATH
from project.stack.signals import wait_until
from project.stack.throwaway import Servers, running
from tests.integration.streams.web_server import database_url
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.system import Seed, component, environment, set_up

BOUND_S: Final = 120.0
"""Limit of each wait. Far above what anything here needs."""

LIMIT_S: Final = 400
"""Limit of a whole test, with its servers."""

MADE_BY_MIGRATE: Final = ("django_migrations", "django_content_type", "auth_permission")
"""Tables with rows that `migrate` makes. Tests do not empty them."""

SUBMIT_PATH: Final = "/api/v1/features/summarize/jobs"
INPUT: Final = {"input": {"document": "Refunds are paid within 30 days."}}


def _no_tick() -> None: ...


@dataclass
class System:
    """PostgreSQL and Valkey with tables and users; starts processes of the product."""

    servers: Servers
    env: dict[str, str]
    seed: Seed

    @contextmanager
    def web(self, **env: str) -> Iterator[str]:
        """Run the web server as in production. Yield its address."""
        with take_port(8600) as port:
            web = component("web", logs=self.servers.launcher.logs, web=port)
            url = f"http://{HOST}:{port}"
            with self.process("web", web.argv, {**web.env, "WEB_CONCURRENCY": "1", **env}) as child:
                self.until(lambda: _answers(f"{url}/healthz"), child)
                yield url

    @contextmanager
    def client(self, **env: str) -> Iterator[httpx2.Client]:
        """Yield a client of a new web server, with a user's token and unlimited connections."""
        with (
            self.web(**env) as url,
            httpx2.Client(
                base_url=url,
                headers={"Authorization": f"Bearer {self.seed.tokens[0]}"},
                trust_env=False,
                timeout=BOUND_S,
                limits=httpx2.Limits(max_connections=None),
            ) as client,
        ):
            yield client

    @contextmanager
    def worker(self, queue: str = "llm", **env: str) -> Iterator[Child]:
        """Run a worker. Yield when it takes jobs."""
        found = component(f"worker-{queue}", logs=self.servers.launcher.logs)
        with self.process(found.name, found.argv, {**found.env, **env}) as child:
            self.until(found.ready, child)
            yield child

    @contextmanager
    def process(self, name: str, argv: tuple[str, ...], env: Mapping[str, str]) -> Iterator[Child]:
        """Run a process, and kill it at the end: an orderly exit takes longer than some tests."""
        child = self.servers.launcher.launch(name, argv, env={**self.env, **env})
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.stop()

    def kill_postgres(self) -> None:
        """End PostgreSQL as a crash does, and wait until it is gone."""
        postgres = self.servers.postgres
        assert postgres is not None
        child = postgres._child
        assert child is not None
        child.stopping = True
        os.kill(child.process.pid, signal.SIGQUIT)
        child.process.wait(BOUND_S)

    def start_postgres(self) -> None:
        """Start PostgreSQL again, and wait until it answers."""
        postgres = self.servers.postgres
        assert postgres is not None
        postgres.start(_no_tick)
        postgres.ready(_no_tick)

    @staticmethod
    def until(condition: Callable[[], object], child: Child) -> None:
        """Wait for a condition that this process brings about."""
        met = wait_until(lambda: bool(condition()), timeout_s=BOUND_S, tick=child.check)
        assert met, child.log.read_text()


@contextmanager
def system(sandbox: SandboxServer | None = None, *, users: int = 1) -> Iterator[System]:
    """Run servers with our tables, users and an open feature. Needs the database of the tests."""
    with running() as servers:
        provider = {"ANTHROPIC_BASE_URL": sandbox.url} if sandbox else {}
        # One user sends many requests here; their rate is not under test.
        unlimited = {"WEB_REQUESTS_PER_SECOND": "0"}
        env = environment({**servers.env, **provider, **unlimited})
        try:
            _copy_tables(database_url(), servers.env["DATABASE_URL"])
            yield System(servers, env, set_up(env, users=users, user_budget_usd="1000"))
        finally:
            # `running` ends the first process of PostgreSQL only; a test may have started another.
            assert servers.postgres is not None
            child = servers.postgres._child
            assert child is not None
            child.stop()


def _copy_tables(source: str, target: str) -> None:
    """Copy the tables of a migrated database, without their rows. A migration takes much longer."""
    dump, load = str(POSTGRES_BIN_PATH / "pg_dump"), str(POSTGRES_BIN_PATH / "psql")
    named = [part for table in MADE_BY_MIGRATE for part in ("-t", table)]
    dumps = [
        subprocess.run([dump, *options, source], stdout=subprocess.PIPE, check=True).stdout
        for options in (["--schema-only", "--no-owner"], ["--data-only", *named])
    ]
    command = [load, "-q", "-1", "-v", "ON_ERROR_STOP=1", target]
    subprocess.run(command, input=b"".join(dumps), stdout=subprocess.DEVNULL, check=True)


@dataclass
class Site:
    """A web server, a client of it, its database and a sandbox provider."""

    system: System
    sandbox: SandboxServer
    client: httpx2.Client

    def submit(self) -> httpx2.Response:
        return self.client.post(SUBMIT_PATH, json=INPUT)

    def accepted_job(self) -> str:
        """Submit a job and return its id."""
        response = self.submit()
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def submit_many(self, count: int) -> list[httpx2.Response]:
        """Submit at the same time."""
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.submit(), range(count)))

    def readiness(self) -> tuple[int, str]:
        answer = self.client.get("/readyz")
        return answer.status_code, str(answer.json()["checks"]["database"])

    def operator(self) -> psycopg.Connection[Any]:
        """Connect as an operator, who may write although the default is to read only."""
        return psycopg.connect(
            self.system.servers.env["DATABASE_URL"],
            options="-c default_transaction_read_only=off",
            autocommit=True,
        )

    def sql(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self.operator() as connection:
            cursor = connection.execute(query.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def row(self, job: str) -> tuple[Any, ...]:
        """Return status, epoch, provider calls and tries of a job."""
        query = "SELECT status, epoch, attempts, tries FROM aifeature_job WHERE id = %s"
        return self.sql(query, job)[0]

    def cancel_waiting_jobs(self) -> None:
        self.sql(
            "SELECT aif_cancel(id, user_id, 'Over.') FROM aifeature_job WHERE status = 'queued'"
        )


@contextmanager
def running_site(**env: str) -> Iterator[Site]:
    """Run a site on servers of its own. `env` is added to the web server's environment."""
    with running_sandbox() as sandbox, system(sandbox) as found, found.client(**env) as client:
        yield Site(found, sandbox, client)


def statuses(responses: list[httpx2.Response]) -> set[int]:
    return {response.status_code for response in responses}


def is_unavailable(answer: httpx2.Response) -> bool:
    """Return whether the API reports that the database is unavailable, and when to retry."""
    return (
        answer.status_code == 503
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json()["code"] == "database_unavailable"
        and int(answer.headers["retry-after"]) > 0
    )


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False, timeout=2).status_code == 200
    except httpx2.TransportError:
        return False
