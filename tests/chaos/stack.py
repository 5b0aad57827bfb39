"""The system under test: servers behind proxies, and every process as in production."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
import redis

from project.stack.children import PYTHON, Child
from project.stack.ports import HOST, take_port
from project.stack.postgres import SOCKET_NAME
from project.stack.processes import RUN_VARIABLE, end, members, recorded
from project.stack.readiness import Check, answers, logged
from project.stack.signals import wait_until
from project.stack.throwaway import Servers, running
from tests.bench.sandbox import Sandbox
from tests.chaos import instruments
from tests.chaos.plan import LLM_WORKERS, PROVIDER_IDLE_S
from tests.chaos.processes import Process, Supervisor
from tests.chaos.proxy import Proxy, target_of
from tests.chaos.staff import Staff, at_work
from tests.redis_address import through
from tests.system import Seed, changed, component, environment, set_up

START_S: Final = 120.0
"""Longest start of a process; all start at the same time on a busy machine."""

FIRST_BYTE_S: Final = 0.3
TOKENS_PER_SECOND: Final = 60

ENVIRONMENT: Final = {
    "WORKER_GRACE_SECONDS": "5",
    "PROVIDER_IDLE_TIMEOUT": str(PROVIDER_IDLE_S),
    "DATABASE_POOL_SIZE": "12",
}


class NotReadyError(Exception):
    """Part of the system did not start."""


@dataclass(slots=True)
class Stack:
    servers: Servers
    seed: Seed
    supervisor: Supervisor
    web_port: int
    sandbox_port: int
    record: Path
    """The sandbox provider's record of calls."""

    proxies: Mapping[str, Proxy]
    """By target: postgres, redis, provider."""

    staff: Staff
    second_beat: Process
    """Not supervised: only a fault starts it."""

    rules: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)
    """The present storms."""

    def database(self) -> psycopg.Connection:
        """Connect without the proxy."""
        url = self.servers.env["DATABASE_URL"]
        return psycopg.connect(url, autocommit=True, connect_timeout=20)

    def process(self, name: str) -> Process:
        return self.supervisor.processes[name]

    def wait_ready(self, name: str) -> None:
        """Wait until a process is ready, or raise NotReadyError."""
        process = self.process(name)
        if not wait_until(process.is_ready, timeout_s=START_S):
            raise NotReadyError(f"{name} is not ready after {START_S:.0f} s: {process.child.log}")

    def is_working(self, name: str) -> bool:
        """Return whether a worker runs jobs; False while PostgreSQL is down."""
        try:
            with self.database() as connection:
                found = connection.execute(
                    "SELECT FROM aifeature_job WHERE status = 'running' AND worker LIKE %s LIMIT 1",
                    [f"{name}@%"],
                ).fetchone()
        except psycopg.OperationalError:
            return False
        return found is not None

    def crash_postgres(self, *, away_s: float) -> None:
        """End PostgreSQL without a checkpoint, and start it again after some seconds."""
        postgres = self.servers.postgres
        assert postgres is not None
        _signal(self.servers, "postgres", signal.SIGQUIT)
        time.sleep(away_s)
        _keep(self.servers.launcher.logs / "postgres.log")
        postgres.start(_no_tick)
        postgres.ready(_no_tick)

    def kill_valkey(self, *, away_s: float) -> None:
        """Kill Valkey, and start it again, empty, after some seconds."""
        valkey = self.servers.valkey
        assert valkey is not None
        _signal(self.servers, "valkey", signal.SIGKILL)
        time.sleep(away_s)
        valkey.start()
        valkey.ready(_no_tick)

    def flush_valkey(self) -> None:
        with redis.Redis.from_url(self.servers.env["REDIS_URL"]) as client:
            client.flushall()

    def storm(self, rules: Sequence[Mapping[str, Any]], *, on: bool) -> None:
        """Add rules to the provider's fault plan, or remove them."""
        if on:
            self.rules.append(rules)
        else:
            self.rules.remove(rules)
        provider = Sandbox(f"http://{HOST}:{self.sandbox_port}")
        provider.set_faults({"rules": [rule for storm in self.rules for rule in storm]})


@contextmanager
def running_system(
    *, users: int, user_budget_usd: str, provider_per_minute: int
) -> Iterator[Stack]:
    """Run everything while the context lasts.

    `user_budget_usd` is each user's budget of a day. `provider_per_minute` is the provider's limit
    of requests for each model. Raises NotReadyError, or SetUpError if the database stays empty.
    """
    with ExitStack() as exits:
        servers = exits.enter_context(running(durable=True))
        env = environment(servers.env)
        seed = set_up(env, users=users, user_budget_usd=user_budget_usd)
        with psycopg.connect(servers.env["DATABASE_URL"], autocommit=True) as connection:
            instruments.install(connection)
        staff = exits.enter_context(at_work(env, servers.launcher.logs / "staff.log"))

        web_port = exits.enter_context(take_port(9300))
        sandbox_port = exits.enter_context(take_port(9200))
        proxies = {
            "postgres": Proxy(target=_socket(servers.env["DATABASE_URL"])),
            "redis": Proxy(target=target_of(servers.env["REDIS_URL"])),
            "provider": Proxy(target=(HOST, sandbox_port)),
        }
        for proxy in proxies.values():
            exits.enter_context(proxy)
        record = servers.launcher.logs / "provider.jsonl"
        env |= ENVIRONMENT | {
            "DATABASE_URL": f"postgresql://postgres@{HOST}:{proxies['postgres'].port}/aifeature",
            "REDIS_URL": through(servers.env["REDIS_URL"], host=HOST, port=proxies["redis"].port),
            "ANTHROPIC_BASE_URL": f"http://{HOST}:{proxies['provider'].port}",
            "PYTHONUNBUFFERED": "1",
            RUN_VARIABLE: secrets.token_hex(8),
        }
        processes = _processes(
            servers, env, web_port, sandbox_port, record, per_minute=provider_per_minute
        )
        second_beat = processes.pop()
        supervisor = Supervisor(processes)
        exits.callback(_stop_servers, servers)
        exits.callback(supervisor.stop)
        supervisor.start()
        stack = Stack(
            *(servers, seed, supervisor, web_port, sandbox_port, record, proxies),
            *(staff, second_beat),
        )
        for process in processes:
            stack.wait_ready(process.name)
        yield stack


def _processes(
    servers: Servers,
    env: Mapping[str, str],
    web_port: int,
    sandbox_port: int,
    record: Path,
    *,
    per_minute: int,
) -> list[Process]:
    """Return the supervised processes and, as the last one, the second beat."""
    logs = servers.launcher.logs

    def made(
        name: str, argv: Sequence[str], ready: Check | str, more: Mapping[str, str] | None = None
    ) -> Process:
        def of_life(child: Child) -> Check:
            return logged(child.log, ready) if isinstance(ready, str) else ready

        return Process(name, argv, {**env, **(more or {})}, of_life, servers.launcher)

    sandbox = [PYTHON, "-m", "workers.sandbox", "--host", HOST]
    sandbox += ["--port", str(sandbox_port), "--record", str(record)]
    sandbox += ["--first-byte", str(FIRST_BYTE_S), "--tokens-per-second", str(TOKENS_PER_SECOND)]
    sandbox += ["--requests-per-minute", str(per_minute)]
    web = component("web", logs=logs, web=web_port)
    llm = component("worker-llm", logs=logs).argv
    return [
        made("sandbox", sandbox, answers(sandbox_port, "/sandbox/health")),
        made("web", web.argv, answers(web_port, "/healthz"), web.env),
        *(made(name, changed(llm, {"-n": f"{name}@%h"}), " ready.") for name in LLM_WORKERS),
        made("control", component("worker-control", logs=logs).argv, " ready."),
        *(
            made(name, component("beat", logs=logs).argv, "beat: Starting...")
            for name in ("beat", "beat-2")
        ),
    ]


def _socket(url: str) -> Path:
    folder = parse_qs(urlsplit(url).query)["host"][0]
    return Path(folder) / SOCKET_NAME.removesuffix(".lock")


def _keep(log: Path) -> None:
    """Copy a log, since the next start overwrites it."""
    shutil.copy(log, log.with_name(f"{log.stem}.{time.time():.0f}.log"))


def _stop_servers(servers: Servers) -> None:
    """Stop servers that a fault started again: `running` stops only the first ones."""
    pids = servers.launcher.pids
    end([entry for entry in recorded(pids) if entry.name in {"postgres", "valkey"}])


def _signal(servers: Servers, name: str, signum: int) -> None:
    """Signal the running server, and wait for its end."""
    entry = next(entry for entry in recorded(servers.launcher.pids) if entry.name == name)
    os.kill(entry.pid, signum)
    if not wait_until(lambda: not members(entry), timeout_s=START_S):
        raise NotReadyError(f"{name} has not ended after {START_S:.0f} s")


def _no_tick() -> None: ...
