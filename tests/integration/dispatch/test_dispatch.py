"""Publishing gives up early, and loses nothing."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from redis import Redis

from aifeature.models import FeatureControl, Job, transitions
from aifeature.services.controls import effective, switch
from aifeature.services.dispatch import publisher, recovery
from aifeature.services.jobs import lifecycle
from aifeature.services.stores import broker
from tests.integration.job_rows import MakeJob, age, claim
from workers.inference.outage import Outage

pytestmark = pytest.mark.usefixtures("committed", "opened", "queue")

PUBLISH_TIMEOUT_S = broker.PUBLISH_TIMEOUT_S
"""The timeout of production. Tests wait longer."""

PATIENCE_S = 20.0
"""Most seconds that a test waits for an event. `make bench` measures the speed."""

ENDLESS_S = 600.0


@contextmanager
def broker_at(url: str, settings: Any) -> Iterator[None]:
    before = settings.CELERY_BROKER_URL
    settings.CELERY_BROKER_URL = url
    broker.connection.cache_clear()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(broker, "PUBLISH_TIMEOUT_S", PUBLISH_TIMEOUT_S)
            yield
    finally:
        settings.CELERY_BROKER_URL = before
        broker.connection.cache_clear()
        publisher.outage.succeeded()


@pytest.fixture
def queue(settings: Any) -> Iterator[Redis]:
    """The `llm` queue of the real broker, empty."""
    client = Redis.from_url(settings.REDIS_URL)
    client.delete("llm")
    yield client
    client.delete("llm")
    client.close()


class Broker:
    """Accepts and counts connections, and either never answers or hangs up immediately."""

    def __init__(self, listener: socket.socket, *, hangs_up: bool) -> None:
        self.url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        self._addresses: list[Any] = []
        self._own = 0
        self._held: list[socket.socket] = []
        self._listener, self._hangs_up = listener, hangs_up
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, address = self._listener.accept()
                self._addresses.append(address)
                peer.close() if self._hangs_up else self._held.append(peer)

    def connections(self) -> int:
        """Return the number of connections before one of our own."""
        with socket.create_connection(self._listener.getsockname(), PATIENCE_S) as last:
            until = time.monotonic() + PATIENCE_S
            while last.getsockname() not in self._addresses:
                assert time.monotonic() < until
                time.sleep(0.001)
            before = self._addresses.index(last.getsockname()) - self._own
        self._own += 1
        return before

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        for peer in self._held:
            peer.close()


@contextmanager
def frozen_broker(*, hangs_up: bool = False) -> Iterator[Broker]:
    """Accepts connections and never answers, as a stopped process does."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        broker = Broker(listener, hangs_up=hangs_up)
        try:
            yield broker
        finally:
            broker.close()


@contextmanager
def refusing_broker() -> Iterator[Broker]:
    """Nothing listens at its port."""
    with frozen_broker() as broker:
        pass
    yield broker


def submit(user: User, text: str = "Text.") -> uuid.UUID:
    """Submit in any thread."""
    try:
        return lifecycle.submit(user=user, slug="summarize", data={"document": text}).job.pk
    finally:
        connection.close()


def test_a_message_holds_the_id_and_nothing_else(make_job: MakeJob, queue: Redis) -> None:
    job = make_job(input={"document": "SECRET"})
    assert publisher.publish([job.pk]) == 1
    (raw,) = queue.lrange("llm", 0, -1)
    message = json.loads(raw)
    arguments = json.loads(base64.b64decode(message["body"]))
    assert message["headers"]["task"] == "llm.run_job"
    assert arguments[:2] == [[], {"job_id": str(job.pk)}]
    assert b"SECRET" not in raw


def test_an_early_return_is_published_again(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may run the job and return it before its sender goes on."""
    send = current_app.send_task

    def send_and_be_overtaken(*args: Any, **options: Any) -> Any:
        sent = send(*args, **options)
        taken = transitions.claim(
            uuid.UUID(options["kwargs"]["job_id"]), worker="quick", lease_s=15
        )
        assert taken
        transitions.return_to_queue(taken, delay_s=0, counts_as_try=True)
        return sent

    monkeypatch.setattr(current_app, "send_task", send_and_be_overtaken)
    job = lifecycle.submit(user=ada, slug="summarize", data={"document": "Text."}).job
    monkeypatch.undo()
    assert Job.objects.get(pk=job.pk).published_at is None
    assert recovery.sweep() == 1


@pytest.mark.parametrize(
    "away", [frozen_broker, partial(frozen_broker, hangs_up=True), refusing_broker]
)
def test_an_outage_costs_no_job(
    ada: User, settings: Any, monkeypatch: pytest.MonkeyPatch, away: Any
) -> None:
    # The socket timeout of workers does not help: publishing gives up.
    options = {**current_app.conf.broker_transport_options, "socket_timeout": ENDLESS_S}
    monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
    with ThreadPoolExecutor(1) as thread, away() as broker, broker_at(broker.url, settings):
        job = Job.objects.get(pk=thread.submit(submit, ada).result(PATIENCE_S))
        assert away is refusing_broker or broker.connections() == 1
    assert (job.status, job.published_at) == ("queued", None)
    assert recovery.sweep() == 1
    job.refresh_from_db()
    assert job.published_at is not None


def test_a_frozen_broker_refuses_no_concurrent_submission(ada: User, settings: Any) -> None:
    texts = [f"Text {number}." for number in range(40)]
    with (
        frozen_broker() as broker,
        broker_at(broker.url, settings),
        ThreadPoolExecutor(40) as threads,
    ):
        accepted = list(threads.map(submit, [ada] * 40, texts))
    assert len(set(accepted)) == Job.objects.filter(published_at=None).count() == 40


def _stop(slug: str) -> None:
    effective.change(slug, {"killed": True}, reason="r", check_name="test")


def _stop_elsewhere(slug: str) -> None:
    """Stop as another process does: the cache of this process does not hold it."""
    FeatureControl.objects.update_or_create(feature=slug, defaults={"killed": True})


@pytest.mark.parametrize("slug", ["summarize", "_everything"])
@pytest.mark.parametrize("stop", [_stop, _stop_elsewhere])
def test_held_jobs_wait_for_the_release(
    make_job: MakeJob, ada: User, stop: Callable[[str], None], slug: str
) -> None:
    assert not effective.is_paused(slug, ada.pk)  # the cache is filled
    stop(slug)
    make_job()
    assert recovery.sweep() == 0
    switch.release(slug, reason="Mended.", user_id=ada.pk)
    assert recovery.sweep() == 1


def test_due_lost_and_abandoned_jobs_are_published(make_job: MakeJob, queue: Redis) -> None:
    waiting = make_job(run_at=Now() + timedelta(seconds=60))
    due = make_job()
    on_its_way = make_job(published_at=Now())
    lost = make_job(published_at=Now() - timedelta(seconds=61))
    running = make_job()
    claim(running)
    abandoned = make_job(published_at=Now() - timedelta(seconds=16))
    claim(abandoned)
    age(abandoned, lease_until=timedelta(seconds=1))
    ended = make_job(status="failed", finished_at=Now())

    before = {job.pk: job.published_at for job in Job.objects.all()}
    assert recovery.sweep() == 3
    changed = {job.pk for job in Job.objects.all() if job.published_at != before[job.pk]}
    assert changed == {due.pk, lost.pk, abandoned.pk}
    assert queue.llen("llm") == 3
    assert not {waiting.pk, on_its_way.pk, running.pk, ended.pk} & changed
    assert recovery.sweep() == 0, "they are on their way now"
    age(abandoned, published_at=timedelta(seconds=11))
    assert recovery.sweep() == 1, "until a worker claims it"


def test_a_failed_broker_is_skipped(
    ada: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(publisher, "outage", Outage(publisher.PAUSE_S, clock=lambda: now))
    with frozen_broker() as broker, broker_at(broker.url, settings):
        for number in range(20):
            submit(ada, f"Text {number}.")
        assert broker.connections() == 1
        now += publisher.PAUSE_S
        submit(ada, "After a pause.")
        assert broker.connections() == 2
    assert Job.objects.filter(published_at=None).count() == 21
