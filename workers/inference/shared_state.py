"""State that all processes share in Redis, with one script per step.

Redis may be down, frozen or empty at any time. A step then takes at most a quarter of a second. For
a short time no further call is made, and each process uses its own state.
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
"""Longest wait for one response of Redis, in seconds."""

PAUSE_S: Final = 1.0
"""Seconds without calls after Redis did not respond. Then one caller tries it for all."""

MOST_CONNECTIONS: Final = 1_000
"""More than the threads of a process: a missing connection would count as an outage."""

_LUA: Final = Path(__file__).with_name("lua")


class RedisUnavailable(Exception):  # noqa: N818 - a condition, not a defect
    """Redis does not respond, or did not respond within the last `PAUSE_S` seconds."""


class Script:
    """A script that consists of several files. Redis finds it by its digest."""

    def __init__(self, *names: str) -> None:
        self.text = "\n".join((_LUA / f"{name}.lua").read_text() for name in names)
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class SharedState:
    """Runner of scripts. Create one per process; thread-safe."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Create it without connecting. `client` must return bytes and time out, see `connect`."""
        self._client = client
        self._outage = Outage(PAUSE_S, clock=clock)

    @property
    def in_cooldown(self) -> bool:
        """Whether Redis failed less than `PAUSE_S` seconds ago, so a call would only cost time."""
        return self._outage.in_cooldown

    def run(self, script: Script, keys: Sequence[str], args: Mapping[str, Any]) -> list[Any]:
        """Run a script in one round trip and return its result.

        `keys` are all keys that it uses. `args` are sent as JSON: omit unknown ones, because JSON
        null is not nil in Lua. After `RedisUnavailable` the script may still have run.
        """
        return list(self._call(lambda: self._run(script, keys, args)))

    def read(self, key: str) -> Mapping[str, str]:
        """Return all fields of a hash. Empty if it does not exist."""
        found: Mapping[bytes, bytes] = self._call(lambda: self._client.hgetall(key))
        return {name.decode(): value.decode() for name, value in found.items()}

    def _run(self, script: Script, keys: Sequence[str], args: Mapping[str, Any]) -> Any:
        document = json.dumps(args)
        try:
            return self._client.evalsha(script.digest, len(keys), *keys, document)
        except NoScriptError:
            return self._client.eval(script.text, len(keys), *keys, document)

    def _call(self, command: Callable[[], Any]) -> Any:
        if not self._outage.may_try():
            raise RedisUnavailable(f"Redis did not respond within the last {PAUSE_S:g} s")
        try:
            answer = command()
        except (RedisError, OSError) as error:
            self._failed(error)
            raise RedisUnavailable(type(error).__name__) from None
        if self._outage.succeeded():
            logger.warning("rate gate: Redis is available again, limits are shared again")
        return answer

    def _failed(self, error: Exception) -> None:
        if isinstance(error, ReadOnlyError):  # after a failover the address may have a new server
            self._client.connection_pool.disconnect(inuse_connections=False)
        if self._outage.failed():
            logger.warning(
                "rate gate: Redis is unavailable, this process uses its own limits meanwhile: %s",
                error,
            )


def connect(url: str, options: Mapping[str, Any]) -> SharedState:
    """Return the shared state in this Redis. `options` are further connection options."""
    return SharedState(
        redis_clients.connect(
            url, timeout_s=TIMEOUT_S, options=options, max_connections=MOST_CONNECTIONS
        )
    )
