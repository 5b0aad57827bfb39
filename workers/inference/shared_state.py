"""The state that all processes share in Redis, reached by one script per step.

Redis may be gone, frozen or empty at any moment. A step then costs its caller a quarter of a second
at most, and for a while nobody asks again: each process goes by a state of its own meanwhile.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

import redis
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError

from workers.inference import redis_clients
from workers.inference.outage import Outage

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 0.25
"""How long one answer of Redis may hold a caller up."""

PAUSE_S: Final = 1.0
"""Seconds in which Redis is not asked after it did not answer. Then one caller tries for all."""

MOST_CONNECTIONS: Final = 1_000
"""More than a process has threads: one too few would look like an outage. Opened as needed."""

_LUA: Final = Path(__file__).with_name("lua")


class RedisUnavailable(Exception):  # noqa: N818 - a state of the world, not a defect
    """Redis does not answer, or did not a moment ago."""


class Script:
    """A script of several files that follow each other, known to Redis by its digest."""

    def __init__(self, *names: str) -> None:
        self.text = "\n".join((_LUA / f"{name}.lua").read_text() for name in names)
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class SharedState:
    """Runs scripts; safe for any number of threads. One for each process."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; nothing is connected yet.

        Args:
            client: Answers in bytes, gives up by itself (see `connect`).
            clock: Seconds that never go back.
        """
        self._client = client
        self._outage = Outage(PAUSE_S, clock=clock)

    @property
    def in_cooldown(self) -> bool:
        """Whether Redis did not answer a moment ago: asking it again would only cost time."""
        return self._outage.in_cooldown

    def run(self, script: Script, keys: Sequence[str], args: Mapping[str, Any]) -> list[Any]:
        """Return the script's answer, in one round trip.

        Args:
            script: What to run.
            keys: All keys it touches.
            args: By name, as JSON. Leave out what is unknown: null is no nil in Lua.

        Raises:
            StateAway: Redis does not answer. It may have run the script all the same.
        """
        return list(self._ask(lambda: self._run(script, keys, args)))

    def read(self, key: str) -> Mapping[str, str]:
        """All fields of a hash, none where there is none.

        Raises:
            StateAway: Redis does not answer.
        """
        found: Mapping[bytes, bytes] = self._ask(lambda: self._client.hgetall(key))
        return {name.decode(): value.decode() for name, value in found.items()}

    def _run(self, script: Script, keys: Sequence[str], args: Mapping[str, Any]) -> Any:
        document = json.dumps(args)
        try:
            return self._client.evalsha(script.digest, len(keys), *keys, document)
        except NoScriptError:
            return self._client.eval(script.text, len(keys), *keys, document)

    def _ask(self, question: Callable[[], Any]) -> Any:
        if not self._outage.may_try():
            raise RedisUnavailable("Redis did not answer a moment ago")
        try:
            answer = question()
        except (RedisError, OSError) as error:
            self._failed(error)
            raise RedisUnavailable(type(error).__name__) from None
        if self._outage.succeeded():
            logger.warning("gates: Redis answers again, limits are shared again")
        return answer

    def _failed(self, error: Exception) -> None:
        if isinstance(error, ReadOnlyError):  # after a failover the address may lead elsewhere
            self._client.connection_pool.disconnect(inuse_connections=False)
        if self._outage.failed():
            logger.warning(
                "gates: Redis does not answer, this process goes by limits of its own: %s",
                error,
            )


def connect(url: str, options: Mapping[str, Any]) -> SharedState:
    """The shared state at this address.

    Args:
        url: Of Redis.
        options: More options of its connections, for example of their sockets.
    """
    return SharedState(
        redis_clients.connect(
            url, timeout_s=TIMEOUT_S, options=options, max_connections=MOST_CONNECTIONS
        )
    )
