"""The transport of the broker, and a task that a person runs now."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from django.conf import settings
from kombu import Connection, Queue

from aifeature.services.stores import broker
from project.celery import app


@pytest.fixture
def connection() -> Connection:
    return app.connection_for_write()


def test_a_lost_connection_is_closed_without_an_error(connection: Connection) -> None:
    """A worker that was stopped for a while finds its connection closed, and goes on."""
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
        # The state in which kombu leaves a channel whose server is away.
        channel._disconnect_pools()
        connection.transport.client = None
        message.ack()
        assert message.acknowledged
        connection.maybe_close_channel(channel)  # again, as Celery does
        connection.transport.client = connection


def test_a_task_is_sent_to_the_named_queue() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        client.delete("evals")
        broker.send("control.sweep", args=[], kwargs={"a": 1}, queue="evals")
        (message,) = client.lrange("evals", 0, -1)
        client.delete("evals")
    assert json.loads(message)["headers"]["task"] == "control.sweep"
    assert json.loads(message)["headers"]["kwargsrepr"] == "{'a': 1}"
