"""Redis answers commands with errors: no job is refused, no process ends, all recover."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest
import redis

from aifeature.models import Job, Status
from project.stack.children import Child
from project.stack.throwaway import running
from tests.chaos.proxy import target_of
from tests.chaos.real_processes import (
    LIMIT_S,
    Processes,
    rows,
    start_together,
    text_of,
    wait_ended,
    wait_until,
)
from tests.chaos.real_processes import Site as WebSite
from tests.redis_address import through
from tests.refusing_redis import HOST, RefusingRedis

Client = Any


@dataclass
class Site:
    """All processes, with a proxy before their Redis that can refuse commands."""

    web: WebSite
    children: dict[str, Child]
    proxy: RefusingRedis
    server: Client
    """A client of Redis, past the proxy."""

    def accepted_job(self) -> Job:
        response = self.web.submit()
        assert response.status_code == 202, response.text
        return Job.objects.get(pk=response.json()["id"])

    def redis_check(self) -> str:
        answer = self.web.client.get(self.web.client.base_url.join("/readyz"))
        assert answer.status_code == 200, "jobs are accepted without Redis"
        found = answer.json()
        assert (found["status"] == "ready") == (found["checks"]["redis"] == "ok")
        return str(found["checks"]["redis"])

    def logged(self) -> dict[str, int]:
        """Return the bytes that each process has logged."""
        return {name: child.log.stat().st_size for name, child in self.children.items()}

    def assert_all_run(self) -> None:
        for name, child in self.children.items():
            assert child.process.poll() is None, f"{name} ended:\n{text_of(child.log)[-3000:]}"


@pytest.fixture
def site(processes: Processes) -> Iterator[Site]:
    with (
        running(database=False) as servers,
        RefusingRedis(target_of(url := servers.env["REDIS_URL"])) as proxy,
        redis.Redis.from_url(url, protocol=2) as server,
    ):
        processes.env["REDIS_URL"] = through(url, host=HOST, port=proxy.port)
        web = processes.web("web")
        names = ("llm", "control", "beat", "flower")
        children = start_together(*(partial(getattr(processes, name), name) for name in names))
        found = {"web": web.child, **dict(zip(names, children, strict=True))}
        yield Site(web, found, proxy, cast("Client", server))


def configured(server: Client, **values: object) -> Callable[[], None]:
    names = {name: name.replace("_", "-") for name in values}
    before = {names[name]: server.config_get(names[name])[names[name]] for name in values}
    for name, value in values.items():
        server.config_set(names[name], value)

    def undo() -> None:
        for name, value in before.items():
            server.config_set(name, value)

    return undo


def full(site: Site) -> Callable[[], None]:
    return configured(site.server, maxmemory=1, maxmemory_policy="noeviction")


def replica(site: Site) -> Callable[[], None]:
    site.server.replicaof("127.0.0.1", "9")
    return lambda: site.server.replicaof("NO", "ONE")


def too_few_replicas(site: Site) -> Callable[[], None]:
    return configured(site.server, min_replicas_to_write=3)


def without_permission(site: Site) -> Callable[[], None]:
    allow = site.server.execute_command
    allow("ACL", "SETUSER", "default", "-brpop", "-lpush", "-publish", "-set")
    return lambda: allow("ACL", "SETUSER", "default", "+@all")


def another_password(site: Site) -> Callable[[], None]:
    undo = configured(site.server, requirepass="another")
    for kind in ("normal", "pubsub"):
        site.server.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    return undo


def another_type(site: Site) -> Callable[[], None]:
    site.server.set("llm", "text")
    return lambda: site.server.delete("llm")


def copies_of_another_type(site: Site) -> Callable[[], None]:
    """Spoil the copies of unacknowledged messages. Workers still take messages."""
    for key in ("unacked", "unacked_index"):
        site.server.set(key, "text")
    return lambda: site.server.delete("unacked", "unacked_index")


def answered(code: str) -> Callable[[Site], Callable[[], None]]:
    def fault(site: Site) -> Callable[[], None]:
        site.proxy.refuse(f"{code} it is so")
        return site.proxy.allow

    fault.__name__ = code
    return fault


def random_code(seed: int) -> str:
    dice = random.Random(seed)
    return "".join(dice.choices(string.ascii_uppercase, k=dice.randint(3, 12)))


REAL = [full, replica, too_few_replicas, without_permission, another_password, another_type]
CODES = ["LOADING", "MISCONF", "NOAUTH", "BUSY", "MASTERDOWN", "ERR", *map(random_code, range(3))]


@contextmanager
def refusing(site: Site, fault: Callable[[Site], Callable[[], None]]) -> Iterator[None]:
    undo = fault(site)
    try:
        yield
    finally:
        undo()


def outlast(site: Site, fault: Callable[[Site], Callable[[], None]]) -> None:
    before = site.logged()
    with refusing(site, fault):
        job = site.accepted_job()
        wait_until(lambda: site.redis_check() != "ok", "the web server to notice it")
        # Refusals and retries are logged.
        wait_until(lambda: site.logged()["control"] > before["control"], "the control worker")
        if fault is not full:  # a full Redis still delivers messages
            wait_until(lambda: site.logged()["llm"] > before["llm"], "the llm worker")
        site.assert_all_run()
    wait_ended([job])
    wait_until(lambda: site.redis_check() == "ok", "the web server to recover")
    site.assert_all_run()


COMMANDS = (
    *("brpop", "lpush", "rpush", "publish", "psubscribe", "ping", "zadd", "hset", "multi", "exec"),
    *("zrem", "hdel", "sadd", "smembers", "set", "get", "exists", "evalsha", "eval", "zrange"),
    *("hget", "watch", "xadd", "xread", "type", "client"),
)


SEEDS = 5


def outlast_forbidden_commands(site: Site, seed: int) -> None:
    dice = random.Random(seed)
    forbidden = dice.sample(COMMANDS, dice.randint(1, 8))
    allow = site.server.execute_command
    before = site.logged()
    allow("ACL", "SETUSER", "default", *(f"-{name}" for name in forbidden))
    if "client" not in forbidden and dice.random() < 0.5:
        for kind in ("normal", "pubsub"):
            allow("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    try:
        job = site.accepted_job()

        def is_noticed() -> bool:
            return site.logged() != before or rows([job])[0].status == Status.SUCCEEDED

        wait_until(is_noticed, "a process to notice it")
        site.assert_all_run()
    finally:
        allow("ACL", "SETUSER", "default", "+@all")
    wait_ended([job])
    site.assert_all_run()


@contextmanager
def named(fault: str) -> Iterator[None]:
    """Add the fault to a failure."""
    try:
        yield
    except AssertionError as failure:
        failure.add_note(f"fault: {fault}")
        raise


@pytest.mark.timeout(2 * LIMIT_S)
def test_no_process_ends_and_all_recover(site: Site) -> None:
    """One test: the start of five processes takes longer than all faults together."""
    for fault in (*REAL, copies_of_another_type, *map(answered, CODES)):
        with named(fault.__name__):
            outlast(site, fault)
    for seed in range(SEEDS):
        with named(f"forbidden commands, seed {seed}"):
            outlast_forbidden_commands(site, seed)
    assert "Unrecoverable error" not in "".join(
        text_of(each.log) for each in site.children.values()
    )
