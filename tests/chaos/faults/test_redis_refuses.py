"""Redis answers commands with errors: no job is refused, no process ends, all recover."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
import redis

from project.stack.children import Child
from project.stack.ports import take_port
from project.stack.signals import wait_until
from tests.chaos.faults.system import BOUND_S, LIMIT_S, system
from tests.chaos.faults.system import Site as BaseSite
from tests.chaos.proxy import target_of
from tests.redis_address import through
from tests.refusing_redis import HOST, RefusingRedis
from tests.sandbox_server import running_sandbox
from tests.system import component

pytestmark = pytest.mark.timeout(LIMIT_S)

Client = Any


@dataclass
class Site(BaseSite):
    """A site with a proxy before Redis that can refuse commands."""

    server: Client
    """A client of Redis, past the proxy."""

    proxy: RefusingRedis
    children: dict[str, Child]

    def redis_check(self) -> str:
        answer = self.client.get("/readyz")
        assert answer.status_code == 200, "jobs are accepted without Redis"
        found = answer.json()
        assert (found["status"] == "ready") == (found["checks"]["redis"] == "ok")
        return str(found["checks"]["redis"])

    def logs(self) -> dict[str, str]:
        return {
            name: child.log.read_text(errors="replace") for name, child in self.children.items()
        }

    def assert_all_run(self) -> None:
        for name, child in self.children.items():
            assert child.process.poll() is None, f"{name} ended:\n{child.log.read_text()[-3000:]}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as exits:
        sandbox = exits.enter_context(running_sandbox())
        found = exits.enter_context(system(sandbox))
        url = found.servers.env["REDIS_URL"]
        proxy = exits.enter_context(RefusingRedis(target_of(url)))
        env = {"REDIS_URL": through(url, host=HOST, port=proxy.port)}
        client = exits.enter_context(found.client(**env))
        children = {
            queue: exits.enter_context(found.worker(queue, **env)) for queue in ("llm", "control")
        }
        logs = found.servers.launcher.logs
        beat = component("beat", logs=logs)
        children["beat"] = exits.enter_context(found.process("beat", beat.argv, env))
        flower = component("flower", logs=logs, flower=exits.enter_context(take_port(8700)))
        child = exits.enter_context(found.process("flower", flower.argv, {**flower.env, **env}))
        found.until(flower.ready, child)
        children["flower"] = child
        server = exits.enter_context(redis.Redis.from_url(url, protocol=2))
        yield Site(found, sandbox, client, cast("Client", server), proxy, children)


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


@pytest.mark.parametrize(
    "fault", [*REAL, copies_of_another_type, *map(answered, CODES)], ids=lambda each: each.__name__
)
def test_no_process_ends_and_all_recover(
    site: Site, fault: Callable[[Site], Callable[[], None]]
) -> None:
    before = site.logs()
    with refusing(site, fault):
        job = site.accepted_job()
        assert wait_until(lambda: site.redis_check() != "ok", timeout_s=BOUND_S)
        # Refusals and retries are logged.
        assert wait_until(lambda: site.logs()["control"] != before["control"], timeout_s=BOUND_S)
        if fault is not full:  # a full Redis still delivers messages
            assert wait_until(lambda: site.logs()["llm"] != before["llm"], timeout_s=BOUND_S)
        site.assert_all_run()
    assert wait_until(lambda: site.row(job)[0] == "succeeded", timeout_s=BOUND_S), site.logs()
    assert wait_until(lambda: site.redis_check() == "ok", timeout_s=BOUND_S)
    site.assert_all_run()
    assert "Unrecoverable error" not in "".join(site.logs().values())


COMMANDS = (
    *("brpop", "lpush", "rpush", "publish", "psubscribe", "ping", "zadd", "hset", "multi", "exec"),
    *("zrem", "hdel", "sadd", "smembers", "set", "get", "exists", "evalsha", "eval", "zrange"),
    *("hget", "watch", "xadd", "xread", "type", "client"),
)


@pytest.mark.parametrize("seed", range(5))
def test_no_process_ends_when_some_commands_are_forbidden(site: Site, seed: int) -> None:
    dice = random.Random(seed)
    forbidden = dice.sample(COMMANDS, dice.randint(1, 8))
    allow = site.server.execute_command
    before = site.logs()
    allow("ACL", "SETUSER", "default", *(f"-{name}" for name in forbidden))
    if "client" not in forbidden and dice.random() < 0.5:
        for kind in ("normal", "pubsub"):
            allow("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    try:
        job = site.accepted_job()

        def is_noticed() -> bool:
            return site.logs() != before or site.row(job)[0] == "succeeded"

        assert wait_until(is_noticed, timeout_s=BOUND_S)
        site.assert_all_run()
    finally:
        allow("ACL", "SETUSER", "default", "+@all")
    assert wait_until(lambda: site.row(job)[0] == "succeeded", timeout_s=BOUND_S), site.logs()
    site.assert_all_run()
