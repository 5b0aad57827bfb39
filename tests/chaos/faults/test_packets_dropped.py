"""Packets get lost and no reset comes: each kind of connection is given up within a minute."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psutil
import psycopg
import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.db import connection

from aifeature.models import Job, Status
from aifeature.services.dispatch import dispatcher, publisher
from aifeature.services.stores import broker
from aifeature.services.streams import writer
from aifeature.services.streams.hub import Hub
from project import settings as project_settings
from project.stack.local_dir import CHECKOUT
from project.stack.signals import wait_until
from tests.chaos import packets
from tests.chaos.faults.system import BOUND_S, LIMIT_S
from tests.chaos.proxy import HOST, Mode, Proxy, Target
from tests.integration.job_rows import MakeJob
from tests.redis_address import through
from tests.sandbox_server import SandboxServer
from tests.system import component, environment
from workers.inference import (
    AnthropicClient,
    Cancel,
    InferenceError,
    InferenceRequest,
    Message,
    TextBlock,
    tcp,
)

pytestmark = [
    pytest.mark.skipif(not packets.AVAILABLE, reason="only Linux has TCP_USER_TIMEOUT"),
    pytest.mark.timeout(LIMIT_S),
]

NOTICE_S: Final = 2
"""As short as the kernel's clocks allow; what runs is the same code with another number."""

SOON_S: Final = 15.0
"""Far above that, and far below every other time-out."""

MINUTE_S: Final = 60
TEXT = {"document": "Refunds are paid within 30 days."}


def assert_watchful(sock: Any) -> None:
    """Whether bytes of ours wait for an acknowledgement or nothing does, within a minute."""
    idle, every, count, unacknowledged_ms = (
        sock.getsockopt(socket.IPPROTO_TCP, name)
        for name in (
            socket.TCP_KEEPIDLE,
            socket.TCP_KEEPINTVL,
            socket.TCP_KEEPCNT,
            socket.TCP_USER_TIMEOUT,
        )
    )
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert idle + every * count < MINUTE_S
    assert 0 < unacknowledged_ms < MINUTE_S * 1000


def redis_target() -> Target:
    parts = urlsplit(django_settings.REDIS_URL)
    return parts.hostname or HOST, parts.port or 6379


def postgres_target() -> Target:
    parts = urlsplit(os.environ["DATABASE_URL"])
    folder = parse_qs(parts.query).get("host")
    if folder:
        return Path(folder[0]) / ".s.PGSQL.5432"
    return parts.hostname or HOST, parts.port or 5432


@pytest.fixture
def to_postgres() -> Iterator[Proxy]:
    with Proxy(target=postgres_target()) as proxy:
        yield proxy


def connect(proxy: Proxy) -> psycopg.Connection[Any]:
    """As our settings have it, to the database of the test."""
    known = connection.settings_dict
    url = f"postgresql://{known['USER']}@{HOST}:{proxy.port}/{known['NAME']}"
    found = project_settings._database(url, 2)
    options = {**found["OPTIONS"], "password": known["PASSWORD"] or None}
    del options["pool"]
    return psycopg.connect(
        host=HOST, port=proxy.port, user=known["USER"], dbname=known["NAME"], **options
    )


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_settings, "_WATCHFUL", tcp.watchful(notice_s=NOTICE_S))


@contextmanager
def ended_by_hand(found: psycopg.Connection[Any]) -> Iterator[None]:
    """The server does not know that nobody waits for its answer any more."""
    pid = found.info.backend_pid
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.parametrize("when", ["before it asks", "while it waits"])
def test_postgres(db: None, to_postgres: Proxy, soon: None, when: str) -> None:
    with connect(to_postgres) as found, ended_by_hand(found):
        if when == "before it asks":
            to_postgres.set(Mode.DROP)
        else:
            threading.Timer(0.3, to_postgres.set, [Mode.DROP]).start()
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            found.execute("SELECT pg_sleep(60)")
        assert time.monotonic() - began < SOON_S
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        connect(to_postgres)
    assert time.monotonic() - began < SOON_S


@contextmanager
def provider(sandbox: SandboxServer) -> Iterator[tuple[Proxy, AnthropicClient]]:
    parts = urlsplit(sandbox.url)
    with Proxy(target=(HOST, parts.port or 0)) as proxy:
        url = f"http://{HOST}:{proxy.port}"
        client = AnthropicClient(api_key="k", base_url=url, peer_timeout_s=NOTICE_S)
        with closing(client):
            yield proxy, client


def ask(client: AnthropicClient) -> None:
    request = InferenceRequest(
        attempt_id=uuid4(),
        model="claude-haiku-5-5",
        system=(),
        messages=(Message("user", (TextBlock("Hello"),)),),
        max_tokens=100,
    )
    client.complete(request, cancel=Cancel())


@pytest.mark.parametrize("when", ["before it asks", "while it waits"])
def test_the_provider(sandbox: SandboxServer, when: str) -> None:
    with provider(sandbox) as (proxy, client):
        ask(client)  # its connection is used again
        if when == "before it asks":
            proxy.set(Mode.DROP)
        else:
            sandbox.set_faults({"kind": "slow_first_byte"})
            threading.Timer(0.3, proxy.set, [Mode.DROP]).start()
        began = time.monotonic()
        with pytest.raises(InferenceError) as raised:
            ask(client)
        assert time.monotonic() - began < SOON_S
        assert raised.value.retryable
        assert raised.value.provider_failure


@contextmanager
def worker(log: Path, **env: str) -> Iterator[psutil.Process]:
    """An `llm` worker on the database of the test."""
    found = component("worker-llm", logs=log.parent)
    head, mark, query = os.environ["DATABASE_URL"].partition("?")
    url = f"{head.rpartition('/')[0]}/{connection.settings_dict['NAME']}{mark}{query}"
    every = {**environment({"DATABASE_URL": url}), **found.env, **env}
    with log.open("wb") as output:
        process = subprocess.Popen(
            found.argv, env=every, cwd=CHECKOUT, stdout=output, stderr=output
        )
    try:
        assert wait_until(found.ready, timeout_s=BOUND_S), log.read_text()
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("committed")
def test_a_worker_gives_its_broker_up_and_goes_on_afterwards(
    make_job: MakeJob, sandbox: SandboxServer, tmp_path: Path
) -> None:
    log = tmp_path / "worker-llm.log"

    def succeeds(job: Job) -> bool:
        publisher.refill()
        return Job.objects.get(pk=job.pk).status == Status.SUCCEEDED

    with Proxy(target=redis_target()) as proxy:
        env = {
            "REDIS_URL": through(django_settings.REDIS_URL, host=HOST, port=proxy.port),
            "ANTHROPIC_BASE_URL": sandbox.url,
            "PEER_TIMEOUT_SECONDS": str(NOTICE_S),
        }

        def connections() -> set[int]:
            return {
                found.laddr.port
                for found in process.net_connections("tcp")
                if getattr(found.raddr, "port", None) == proxy.port
            }

        with worker(log, **env) as process:
            first = make_job(input=TEXT)
            assert wait_until(lambda: succeeds(first), timeout_s=MINUTE_S), log.read_text()
            before = connections()
            assert before
            proxy.set(Mode.DROP)
            given_up = wait_until(lambda: not before & connections(), timeout_s=2 * SOON_S)
            assert given_up, log.read_text()
            proxy.set(Mode.PASS)
            second = make_job(input=TEXT)
            assert wait_until(lambda: succeeds(second), timeout_s=2 * SOON_S), log.read_text()


def test_production_values_are_below_a_minute(
    db: None, to_postgres: Proxy, sandbox: SandboxServer
) -> None:
    with connect(to_postgres) as found, socket.socket(fileno=os.dup(found.fileno())) as sock:
        assert_watchful(sock)
    client = AnthropicClient(api_key="k", base_url=sandbox.url)
    with closing(client):
        ask(client)
        (idle,) = client._transport._pool.connections
        stream = idle._connection._network_stream  # type: ignore[attr-defined]
        assert_watchful(stream.get_extra_info("socket"))
    for synchronous in (writer.process()._client, dispatcher._client()):
        assert_watchful(open_socket(synchronous.connection_pool))
    for used in (current_app.connection_for_read(), broker.connection()):
        channel: Any = used.default_channel
        assert_watchful(open_socket(channel.client.connection_pool))
        used.release()
    options = django_settings.CELERY_BROKER_TRANSPORT_OPTIONS
    assert 1 + 2 * options["health_check_interval"] < MINUTE_S
    asyncio.run(look_at_hub())


def open_socket(pool: Any) -> Any:
    found = pool.get_connection()
    try:
        return found._sock
    finally:
        pool.release(found)


async def look_at_hub() -> None:
    hub = Hub(django_settings.REDIS_URL)
    with hub.reading(uuid4(), 1, lambda: None):
        async with asyncio.timeout(SOON_S):
            while not (pool := getattr(hub._client, "connection_pool", None)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while not pool._in_use_connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            (found,) = pool._in_use_connections
            while found._writer is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert_watchful(found._writer.get_extra_info("socket"))
    await asyncio.sleep(0)
    if hub._task is not None:
        await hub._task
