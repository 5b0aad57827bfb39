"""Kombu's Redis transport, made faster and robust against errors and foreign messages.

A worker's main thread handles every message, so time that it saves there benefits all jobs.
"""

from __future__ import annotations

from queue import Empty
from typing import Any, Final

import redis
from kombu.asynchronous import get_event_loop
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as kombu_redis
from kombu.utils.json import loads
from vine import ppartial

from aifeature.policies import redis_replies
from project import messages
from project.messages import NotOursError
from project.refusals import refusals
from workers.inference.outage import Outage

COOLDOWN_S: Final = 1.0
"""Seconds until a worker fetches messages again after the broker has refused a command."""

_wake = ppartial(lambda: None)  # type: ignore[arg-type]  # the stubs are wrong


class QoS(kombu_redis.QoS):
    """Wakes the worker's loop as soon as a thread is free for the next message.

    A loop whose threads are all busy stops fetching messages until something wakes it. By default
    that is the task event for Flower, which this project sends later (`consumer`).
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """Keep a message until it is acknowledged.

        If Redis stores no copy of it, it is not delivered again after a crash. This loses nothing,
        since the dispatcher publishes its job again.
        """
        try:
            super().append(message, delivery_tag)
        except redis.ResponseError as error:
            refusals.note("a copy of a message", error)
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        connection: Any = self.channel.connection
        if connection is None or connection.client is None:
            return  # its connection is closed: a second delivery is possible, and a claim decides
        try:
            super().ack(delivery_tag)
        except redis.ResponseError as error:
            refusals.note("an acknowledgement", error)
            virtual.QoS.ack(self, delivery_tag)  # a second delivery is possible, a claim decides
        hub = get_event_loop()
        if hub is not None:
            hub.call_soon(_wake)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 (kombu's)
        """Remove a message, or return it to its queue."""
        try:
            super().reject(delivery_tag, requeue)
        except redis.ResponseError as error:
            refusals.note("a rejection", error)
            virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **more: Any) -> None:
        """Return messages to their queues that were not acknowledged for a long time."""
        try:
            super().restore_visible(*args, **more)
        except redis.ResponseError as error:
            refusals.note("the search for lost messages", error)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 (kombu's)
        """Return one message to its queue.

        An unreadable message is removed, otherwise it would be tried first every time.
        """
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (NotOursError, TypeError, ValueError) as error:
            messages.dropped(self.unacked_key, error)
            self._remove_from_indices(tag).execute()  # type: ignore[attr-defined]  # not in the stubs


class Channel(kombu_redis.Channel):
    """Reuses the Redis client of its pool. Kombu builds one for each command.

    A build costs 0.06 ms of CPU, and a job needs four.
    """

    QoS = QoS
    _kept: redis.Redis | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        self._outage = Outage(COOLDOWN_S)
        super().__init__(*args, **options)

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 (kombu's)
        connection: Any = self.connection
        if connection is None or connection.client is None:
            # On a closed connection kombu raises an error that it does not catch, which ends the
            # worker. It catches this one.
            raise redis.ConnectionError("the connection of this channel is closed")
        if asynchronous:  # kombu itself keeps this client, with its own connection
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # not in the stubs
        kept = self._kept
        # After a lost connection the channel has a new pool.
        if kept is None or kept.connection_pool is not self.pool:
            kept = self._kept = super()._create_client()  # type: ignore[misc]
        return kept

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Request the next message, unless the broker refused a command in the last second."""
        if not self._outage.in_cooldown:
            super()._brpop_start(timeout)  # type: ignore[misc]  # as above

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver the next message. Drop it if it is not JSON: Redis has already removed it.

        Raises:
            Empty: there is no message, or the broker refuses to return one.
        """
        try:
            found: bool = super()._brpop_read(**options)  # type: ignore[misc]  # as above
        except NotOursError as error:
            messages.dropped("(unknown)", error)
            raise Empty from None
        except redis.ResponseError as error:
            # For example WRONGTYPE for one of the keys. The worker waits; its jobs continue.
            refusals.note("the request for messages", error)
            self._outage.failed()
            if redis_replies.is_read_only(error) and self.client.connection is not None:
                self.client.connection.disconnect()
            raise Empty from None
        return found

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        """Publish a message.

        Raises:
            redis.RedisError: Redis refused it. If it is a replica, close the idle connections:
                after a failover the address may resolve to another server.
        """
        try:
            super()._put(queue, message, **kwargs)
        except redis.ResponseError as error:
            if redis_replies.is_read_only(error):
                self.pool.disconnect(inuse_connections=False)
            raise

    def _receive_one(self, c: Any) -> Any:
        """Deliver the next broadcast, such as an event for Flower.

        Raises:
            Empty: it is not JSON.
        """
        try:
            return super()._receive_one(c)  # type: ignore[misc]  # as above
        except NotOursError as error:
            messages.dropped("(broadcast)", error)
            raise Empty from None


class Transport(kombu_redis.Transport):
    """Kombu's Redis transport with this project's channel."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:
        """Pass a message to its consumer. Drop it if kombu cannot read it."""
        try:
            messages.check_envelope(message)
        except NotOursError as error:
            messages.dropped(queue or "(unknown)", error)
            return
        super()._deliver(message, queue)


def _read(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        NotOursError: it is not JSON, or kombu's decoder raises an error.
    """
    try:
        return loads(text)
    except Exception as error:  # noqa: BLE001 (kombu's decoders raise errors of many kinds)
        raise NotOursError(f"it is not JSON ({type(error).__name__})") from None


def install() -> None:
    """Use this transport for `redis://` and `rediss://` in the whole process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "project.broker:Transport"
    # Kombu's `loads` raises many kinds of errors, which would end the worker.
    kombu_redis.loads = _read  # type: ignore[attr-defined]  # as above
