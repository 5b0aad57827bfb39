"""Our changes of kombu and Celery are in force, and replace methods that still exist."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from celery.worker.consumer import Consumer
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.transport import redis as kombu_redis
from kombu.transport.redis import Channel as KombuChannel
from kombu.transport.redis import QoS as KombuQoS

from project import broker
from project.celery import app
from project.consumer import BatchingConsumer


def test_redis_addresses_lead_to_our_transport() -> None:
    for scheme in ("redis", "rediss"):
        assert Connection(f"{scheme}://localhost/0").get_transport_cls() is broker.Transport
    assert broker.Transport.Channel.QoS is broker.QoS


def test_workers_use_our_consumer() -> None:
    assert app.conf.worker_consumer == "project.consumer:BatchingConsumer"
    assert issubclass(BatchingConsumer, Consumer)


def test_a_worker_looks_for_a_lost_broker_every_few_seconds() -> None:
    """Celery's own pauses grow to half a minute."""
    asked: dict[str, object] = {}
    lost = SimpleNamespace(
        alt=[], ensure_connection=lambda *_, **how: asked.update(how), as_uri=lambda: "redis://"
    )
    consumer = object.__new__(BatchingConsumer)
    consumer.app = app
    consumer.first_connection_attempt = False
    consumer.ensure_connected(cast("Connection", lost))
    assert (asked["interval_start"], asked["interval_max"]) == (1, 2)


def test_an_acknowledged_message_wakes_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a free thread waits for the loop's next timer."""
    hub = Hub()
    monkeypatch.setattr(broker, "get_event_loop", lambda: hub)
    monkeypatch.setattr(KombuQoS, "ack", lambda *_: None)
    with Connection("redis://127.0.0.1:9/0") as connection:
        qos = object.__new__(broker.QoS)
        setattr(qos, "channel", SimpleNamespace(connection=connection.transport))  # noqa: B010
        qos.ack("tag")
    assert len(getattr(hub, "_ready")) == 1  # noqa: B009 (the stubs lack it)
    hub.close()


def test_each_overridden_method_exists() -> None:
    """A release that renames one of these would silently undo the change."""
    assert hasattr(KombuChannel, "_create_client")
    for name in ("_brpop_start", "_brpop_read", "_receive_one", "_put"):
        assert hasattr(KombuChannel, name)
    for name in ("append", "ack", "reject", "restore_visible", "restore_by_tag"):
        assert hasattr(KombuQoS, name)
    assert hasattr(kombu_redis.Transport, "_deliver")
    assert getattr(kombu_redis, "loads") is broker._read  # noqa: B009 (the stubs lack it)
    for name in (
        *("on_send_event_buffered", "register_with_event_loop", "_flush_events"),
        *("create_task_handler", "on_decode_error"),
        *("on_connection_error_before_connected", "on_connection_error_after_connected"),
    ):
        assert hasattr(Consumer, name)


def test_an_error_of_the_broker_ends_no_worker() -> None:
    """Celery ends itself at each error that is not a lost connection."""
    assert app.conf.broker_channel_error_retry is True
