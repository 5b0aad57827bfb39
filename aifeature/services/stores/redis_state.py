"""A check that Redis works for the broker: a write, a read, and the types of its keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import redis
from celery import current_app

from aifeature.policies import redis_replies
from aifeature.services.stores import redis_clients

OK: Final = "ok"
TIMEOUT_S: Final = 0.5

_KEY: Final = f"aif:ready:{secrets.token_hex(8)}"
_TTL_MS: Final = 60_000
_STEPS: Final = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""Suffixes that kombu adds to a queue's name for priorities. It waits for all of them together."""


@dataclass(frozen=True, slots=True)
class State:
    """The result of the check."""

    word: str
    """OK, or a word of `redis_replies`."""

    sentence: str = ""
    """The problem and the next step, for operators."""


def check() -> State:
    """Check Redis in one round trip, with one key that expires."""
    client = redis_clients.connect(TIMEOUT_S)
    try:
        with client:
            return _found(client)
    except (redis.RedisError, OSError) as error:
        return _refused(error)


def _refused(error: Exception) -> State:
    word = redis_replies.word(error)
    return State(word, redis_replies.sentence(word))


def _found(client: redis.Redis) -> State:
    token = secrets.token_hex(8)
    expected = dict(_types())
    pipeline = client.pipeline(transaction=False)
    pipeline.set(_KEY, token, px=_TTL_MS)
    pipeline.get(_KEY)
    for name in expected:
        pipeline.type(name)
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception):
            return _refused(answer)
    _, read, *types = answers
    if read != token.encode():
        return State(redis_replies.REFUSES, redis_replies.sentence(redis_replies.REFUSES))
    found = zip(expected.items(), types, strict=True)
    wrong = [repr(name) for (name, kind), is_of in found if is_of not in {b"none", kind}]
    if not wrong:
        return State(OK)
    sentence = redis_replies.sentence(redis_replies.WRONG_TYPE)
    return State(redis_replies.WRONG_TYPE, f"{sentence} It is {' and '.join(wrong)}.")


def _types() -> Iterator[tuple[str, bytes]]:
    """Yield the keys that kombu uses, and their types."""
    for queue in current_app.conf.task_queues:
        for step in _STEPS:
            yield f"{queue.name}{step}", b"list"
        yield f"_kombu.binding.{queue.name}", b"set"
    yield "unacked", b"hash"
    yield "unacked_index", b"zset"
