"""The state of a Redis that answers and refuses, for readiness and alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aifeature.policies import redis_replies
from aifeature.services.stores import redis_state
from project.stack.throwaway import running
from tests.refusing_redis import HOST, RefusingRedis

Client = Any


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server for these tests alone, since most faults are settings of the server."""
    with running(database=False) as found:
        yield found.env["REDIS_URL"]


@pytest.fixture
def client(url: str, settings: Any) -> Iterator[Client]:
    settings.REDIS_URL = url
    with redis.Redis.from_url(url, protocol=2) as found:
        yield cast("Client", found)
        found.flushall()


def test_a_working_redis_is_ok(client: Client) -> None:
    client.lpush("llm", "message")
    client.hset("unacked", "tag", "message")
    assert redis_state.check() == redis_state.State("ok")
    assert client.ttl(redis_state._KEY) > 0


def configured(client: Client, **values: object) -> Callable[[], None]:
    """Change settings, and return a function that restores them."""
    names = {name: name.replace("_", "-") for name in values}
    before = {names[name]: client.config_get(names[name])[names[name]] for name in values}
    for name, value in values.items():
        client.config_set(names[name], value)

    def undo() -> None:
        for name, value in before.items():
            client.config_set(name, value)

    return undo


def full(client: Client) -> Callable[[], None]:
    return configured(client, maxmemory=1, maxmemory_policy="noeviction")


def replica(client: Client) -> Callable[[], None]:
    client.replicaof("127.0.0.1", "9")
    return lambda: client.replicaof("NO", "ONE")


def too_few_replicas(client: Client) -> Callable[[], None]:
    return configured(client, min_replicas_to_write=3)


def no_writes_for_the_user(client: Client) -> Callable[[], None]:
    client.execute_command("ACL", "SETUSER", "default", "-set")
    return lambda: client.execute_command("ACL", "SETUSER", "default", "+set")


def another_password(client: Client) -> Callable[[], None]:
    password = client.config_get("requirepass")["requirepass"]
    client.config_set("requirepass", "another")
    # This connection stays signed in.
    return lambda: client.config_set("requirepass", password)


def another_type(client: Client) -> Callable[[], None]:
    client.set("llm", "text")
    return lambda: client.delete("llm")


@pytest.mark.parametrize(
    ("fault", "word", "part"),
    [
        (full, "full", "maxmemory"),
        (replica, "read_only", "primary"),
        (too_few_replicas, "no_replicas", "replicas"),
        (no_writes_for_the_user, "permission", "user"),
        (another_password, "password", "REDIS_URL"),
        (another_type, "wrong_type", "'llm'"),
    ],
)
def test_a_fault_has_a_word_and_a_next_step(
    client: Client, fault: Callable[[Client], Callable[[], None]], word: str, part: str
) -> None:
    client.ping()
    undo = fault(client)
    try:
        found = redis_state.check()
    finally:
        undo()
    assert found.word == word
    assert part in found.sentence
    assert redis_state.check() == redis_state.State("ok")


CODES = st.sampled_from(
    ["LOADING", "MISCONF", "BUSY", "NOAUTH", "WRONGPASS", "MASTERDOWN", "OOM", "ERR", "UNBLOCKED"]
) | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=12)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=60)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(code=CODES, text=TEXTS)
def test_any_error_has_a_word(refusing: RefusingRedis, code: str, text: str) -> None:
    refusing.refuse(f"{code} {text}MARK")
    found = redis_state.check()
    assert found.word != redis_state.OK
    assert found.word in {redis_replies.DOWN, redis_replies.REFUSES, *redis_replies._SENTENCES}
    assert found.sentence
    assert "MARK" not in found.sentence


@pytest.fixture
def refusing(settings: Any) -> Iterator[RefusingRedis]:
    with RefusingRedis(None) as found:
        settings.REDIS_URL = f"redis://{HOST}:{found.port}/0"
        yield found


@pytest.mark.parametrize(
    ("code", "word"), [("LOADING", "loading"), ("MISCONF", "cannot_save"), ("BUSY", "busy")]
)
def test_other_errors_have_a_word(refusing: RefusingRedis, code: str, word: str) -> None:
    refusing.refuse(f"{code} it is so")
    assert redis_state.check().word == word


def test_an_unreachable_redis_is_down(settings: Any) -> None:
    settings.REDIS_URL = f"redis://{HOST}:9/0"
    assert redis_state.check().word == redis_replies.DOWN
