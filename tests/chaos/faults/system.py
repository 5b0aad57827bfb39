"""Single processes of the system on servers of a test's own, which it may end and start again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2

from project.stack.children import Child
from project.stack.ports import HOST, take_port
from project.stack.signals import wait_until
from project.stack.throwaway import Servers, running
from tests.sandbox_server import SandboxServer
from tests.system import Seed, component, environment, set_up

BOUND_S = 120.0
"""Far above what anything here needs."""

LIMIT_S = 400
"""Of a whole test with such bounds, its servers included."""


def _no_tick() -> None:
    """Nothing to look at while waiting."""


@dataclass
class System:
    """PostgreSQL and Valkey, filled, and how to add our own processes."""

    servers: Servers
    env: dict[str, str]
    seed: Seed

    @contextmanager
    def web(self, **env: str) -> Iterator[str]:
        """The web server as it runs in production. Yields its address."""
        with take_port(8600) as port:
            logs = self.servers.launcher.logs
            found = component("web", logs=logs, web=port)
            more = {**found.env, "WEB_CONCURRENCY": "1", **env}
            url = f"http://{HOST}:{port}"
            with self._process("web", found.argv, more) as child:
                self.until(lambda: _answers(f"{url}/healthz"), child)
                yield url

    @contextmanager
    def client(self) -> Iterator[httpx2.Client]:
        """A client of a web server, with a user's token and as many connections as it takes."""
        with (
            self.web() as url,
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
        """A worker. Yields when it takes jobs."""
        found = component(f"worker-{queue}", logs=self.servers.launcher.logs)
        with self._process(found.name, found.argv, {**found.env, **env}) as child:
            self.until(found.ready, child)
            yield child

    @contextmanager
    def _process(self, name: str, argv: tuple[str, ...], env: Mapping[str, str]) -> Iterator[Child]:
        child = self.servers.launcher.launch(name, argv, env={**self.env, **env})
        try:
            yield child
        finally:
            child.stop()

    def kill_postgres(self) -> None:
        """End it at once, as a crash does; when this returns it is gone."""
        postgres = self.servers.postgres
        assert postgres is not None
        child = postgres._child
        assert child is not None
        child.stopping = True
        os.kill(child.process.pid, signal.SIGQUIT)
        child.process.wait(BOUND_S)

    def start_postgres(self) -> None:
        """Start it again; when this returns it answers."""
        postgres = self.servers.postgres
        assert postgres is not None
        postgres.start(_no_tick)
        postgres.ready(_no_tick)

    @staticmethod
    def until(met: object, child: Child) -> None:
        """Wait for something a process is to do."""
        assert callable(met)
        assert wait_until(met, timeout_s=BOUND_S, tick=child.check), child.log.read_text()


@contextmanager
def system(sandbox: SandboxServer | None = None, *, users: int = 1) -> Iterator[System]:
    """Servers with our tables, users and an open feature."""
    with running() as servers:
        provider = {"ANTHROPIC_BASE_URL": sandbox.url} if sandbox else {}
        # One user asks for many here, and not about how fast that user may ask.
        unlimited = {"WEB_REQUESTS_PER_SECOND": "0"}
        env = environment({**servers.env, **provider, **unlimited})
        found = System(servers, env, set_up(env, users=users, user_budget_usd="1000"))
        try:
            yield found
        finally:
            # The first life ends with the servers; one that a test began ends here.
            assert servers.postgres is not None
            child = servers.postgres._child
            assert child is not None
            child.stop()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False, timeout=2).status_code == 200
    except httpx2.TransportError:
        return False
