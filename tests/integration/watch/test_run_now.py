"""A task that a person sends at once arrives at its queue."""

from __future__ import annotations

import json

import redis
from django.conf import settings

from aifeature.services.stores import broker


def test_one_task_is_sent_to_the_queue_that_is_named() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        client.delete("evals")
        broker.send("control.sweep", args=[], kwargs={"a": 1}, queue="evals")
        (message,) = client.lrange("evals", 0, -1)
        client.delete("evals")
    assert json.loads(message)["headers"]["task"] == "control.sweep"
    assert json.loads(message)["headers"]["kwargsrepr"] == "{'a': 1}"
