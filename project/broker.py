"""Redis as a broker, with what kombu does for each command done once.

A worker's main thread handles every message: what it costs there is taken from all jobs.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.asynchronous import get_event_loop
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from vine import ppartial

_look_again = ppartial(lambda: None)  # type: ignore[arg-type]  # the stubs are wrong


class QoS(kombu_redis.QoS):
    """Tells the worker's loop at once that a thread is free for the next message.

    A loop whose threads are all busy stops asking for messages, and it learns of a free one only
    when something wakes it: by default the event for Flower, which we send later (`consumer`).
    """

    def ack(self, delivery_tag: str) -> None:
        connection: Any = self.channel.connection
        if connection is None or connection.client is None:
            return  # it came by a connection that is closed: it may come again, a claim decides
        super().ack(delivery_tag)
        hub = get_event_loop()
        if hub is not None:
            hub.call_soon(_look_again)


class Channel(kombu_redis.Channel):
    """Keeps the Redis client of its pool: kombu builds one for each command.

    That is 0.06 ms of CPU, four times a job.
    """

    QoS = QoS
    _kept: redis.Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 (kombu's)
        connection: Any = self.connection
        if connection is None or connection.client is None:
            # kombu would stumble over what is left of a closed connection, outside of what it
            # catches, and that ends the worker. This it catches.
            raise redis.ConnectionError("the connection of this channel is closed")
        if asynchronous:  # it is bound to one connection of its own, and kombu keeps it
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # not in the stubs
        kept = self._kept
        # The pool is another one after a lost connection.
        if kept is None or kept.connection_pool is not self.pool:
            kept = self._kept = super()._create_client()  # type: ignore[misc]
        return kept


class Transport(kombu_redis.Transport):
    """Redis as kombu speaks it, with our channel."""

    Channel = Channel


def install() -> None:
    """Let `redis://` and `rediss://` mean our transport, for every connection of the process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "project.broker:Transport"
