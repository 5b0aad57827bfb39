"""Whether Redis takes what the broker needs: a write, a read, and queues that are lists."""

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
"""Of this process."""

_TTL_MS: Final = 60_000
_STEPS: Final = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""What kombu adds to a queue's name for its priorities; it waits for all of them at once."""


@dataclass(frozen=True, slots=True)
class State:
    """What Redis does with a write and a read."""

    word: str
    """OK, or a word of `redis_replies`."""

    sentence: str = ""
    """For operators: what is in the way, and what to do."""


def look() -> State:
    """Return whether Redis takes what the broker needs: one round trip, one key that expires."""
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
    """The keys that kombu uses, and their types."""
    for queue in current_app.conf.task_queues:
        for step in _STEPS:
            yield f"{queue.name}{step}", b"list"
        yield f"_kombu.binding.{queue.name}", b"set"
    yield "unacked", b"hash"
    yield "unacked_index", b"zset"
