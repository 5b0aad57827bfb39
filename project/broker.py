"""Redis as a broker, with what kombu does for each command done once.

A worker's main thread handles every message: what it costs there is taken from all jobs.
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

REST_S: Final = 1.0
"""Seconds until a worker looks for messages again after the broker has refused."""

_look_again = ppartial(lambda: None)  # type: ignore[arg-type]  # the stubs are wrong


class QoS(kombu_redis.QoS):
    """Tells the worker's loop at once that a thread is free for the next message.

    A loop whose threads are all busy stops asking for messages, and it learns of a free one only
    when something wakes it: by default the event for Flower, which we send later (`consumer`).
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message until it is acknowledged.

        Without Redis's copy it is not sent again if this process dies. It need not be: its job is
        chosen anew.
        """
        try:
            super().append(message, delivery_tag)
        except redis.ResponseError as error:
            refusals.note("a copy of a message", error)
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        connection: Any = self.channel.connection
        if connection is None or connection.client is None:
            return  # it came by a connection that is closed: it may come again, a claim decides
        try:
            super().ack(delivery_tag)
        except redis.ResponseError as error:
            refusals.note("an acknowledgement", error)
            virtual.QoS.ack(self, delivery_tag)  # it may come again, a claim decides
        hub = get_event_loop()
        if hub is not None:
            hub.call_soon(_look_again)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 (kombu's)
        """Take a message for done, or give it back."""
        try:
            super().reject(delivery_tag, requeue)
        except redis.ResponseError as error:
            refusals.note("a rejection", error)
            virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **more: Any) -> None:
        """Give back what nobody acknowledged for long; if that is refused, next time."""
        try:
            super().restore_visible(*args, **more)
        except redis.ResponseError as error:
            refusals.note("looking for lost messages", error)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 (kombu's)
        """Give a message back that was taken and not acknowledged.

        One that cannot be read would be tried before all others for ever, so it is removed.
        """
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (NotOursError, TypeError, ValueError) as error:
            messages.dropped(self.unacked_key, error)
            self._remove_from_indices(tag).execute()  # type: ignore[attr-defined]  # not in the stubs


class Channel(kombu_redis.Channel):
    """Keeps the Redis client of its pool: kombu builds one for each command.

    That is 0.06 ms of CPU, four times a job.
    """

    QoS = QoS
    _kept: redis.Redis | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        """As kombu's."""
        self._outage = Outage(REST_S)
        super().__init__(*args, **options)

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

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for the next message, unless the broker has refused a moment ago."""
        if not self._outage.in_cooldown:
            super()._brpop_start(timeout)  # type: ignore[misc]  # as above

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver the next message. One that is no JSON is dropped: it is out of its list already.

        Raises:
            Empty: there was none, or the broker gives none.
        """
        try:
            found: bool = super()._brpop_read(**options)  # type: ignore[misc]  # as above
        except NotOursError as error:
            messages.dropped("(unknown)", error)
            raise Empty from None
        except redis.ResponseError as error:
            # Such as WRONGTYPE for one of the keys: the worker waits, for its jobs go on.
            refusals.note("looking for messages", error)
            self._outage.failed()
            if redis_replies.is_read_only(error) and self.client.connection is not None:
                self.client.connection.disconnect()
            raise Empty from None
        return found

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        """Publish a message.

        Raises:
            redis.RedisError: Redis did not take it. A replica is left: after a failover the address
                may lead to another server.
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
            Empty: it is no JSON.
        """
        try:
            return super()._receive_one(c)  # type: ignore[misc]  # as above
        except NotOursError as error:
            messages.dropped("(broadcast)", error)
            raise Empty from None


class Transport(kombu_redis.Transport):
    """Redis as kombu speaks it, with our channel."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:
        """Hand a message to its consumer, if kombu can read it."""
        try:
            messages.check_envelope(message)
        except NotOursError as error:
            messages.dropped(queue or "(unknown)", error)
            return
        super()._deliver(message, queue)


def _read(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        NotOursError: it is no JSON, or what kombu's decoder makes of it is an error.
    """
    try:
        return loads(text)
    except Exception as error:  # noqa: BLE001 (kombu's decoders raise errors of many kinds)
        raise NotOursError(f"it is no JSON ({type(error).__name__})") from None


def install() -> None:
    """Let `redis://` and `rediss://` mean our transport, for every connection of the process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "project.broker:Transport"
    # Its own raises errors of many kinds, and they would end the worker.
    kombu_redis.loads = _read  # type: ignore[attr-defined]  # as above
