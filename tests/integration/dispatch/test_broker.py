"""What our transport does that kombu's does not."""

from __future__ import annotations

from typing import Any

import pytest
from kombu import Connection, Queue

from project.celery import app


@pytest.fixture
def connection() -> Connection:
    return app.connection_for_write()


def test_a_lost_connection_is_cleared_away_without_a_word(
    connection: Connection,
) -> None:
    """A worker that was stopped for a while finds its connection gone; it must go on."""
    queue = Queue("test-acks", exchange="test-acks", routing_key="test-acks")
    with connection:
        channel: Any = connection.channel()
        bound = queue(channel)
        bound.declare()
        bound.purge()
        with connection.Producer() as producer:
            producer.publish({}, routing_key="test-acks", exchange="test-acks", declare=[queue])
        message = bound.get()
        assert message is not None
        # What kombu leaves of a channel when it closes a connection whose server is away.
        channel._disconnect_pools()
        connection.transport.client = None
        message.ack()
        assert message.acknowledged
        connection.maybe_close_channel(channel)  # once more, as Celery does; it raises nothing
        connection.transport.client = connection
