"""Packets get lost without a reset: each kind of connection is closed within a minute."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from project.stack.signals import wait_until
from tests.chaos import packets
from tests.chaos.proxy import HOST, Mode, Proxy, Target, target_of
from tests.chaos.real_processes import BOUND_S, LIMIT_S, Processes, text_of
from tests.integration.job_rows import MakeJob
from tests.redis_address import through
from tests.sandbox_server import SandboxServer
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
"""Seconds until the kernel gives a connection up: its minimum. Every other time-out is longer than
the test may take, so only this one can end a call."""

MINUTE_S: Final = 60
TEXT = {"document": "Refunds are paid within 30 days."}


def assert_watchful(sock: Any) -> None:
    """Assert that the kernel notices a dead peer within a minute, busy or idle."""
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


def assert_short(sock: Any) -> None:
    """Assert that the kernel uses the short time-out of this test, not that of production."""
    found = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert found == NOTICE_S * 1000


def keepalive_waits(pid: int, port: int) -> list[float]:
    """Return the seconds until the next keepalive packet of each connection to this port.

    They are at most half of the time-out, see `tcp.watchful`.
    """
    found = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        peer, (timer, ticks) = line.split()[2], line.split()[5].split(":")
        if int(peer.partition(":")[2], 16) == port and timer == "02":
            found.append(int(ticks, 16) / os.sysconf("SC_CLK_TCK"))
    return found


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
    """Connect to the database of the test with the options of our settings."""
    known = connection.settings_dict
    url = f"postgresql://{known['USER']}@{HOST}:{proxy.port}/{known['NAME']}"
    options = project_settings._database(url, 2)["OPTIONS"]
    del options["pool"]
    assert int(options["connect_timeout"]) < MINUTE_S
    return psycopg.connect(url, **options, password=known["PASSWORD"] or None)


@contextmanager
def dropping(proxy: Proxy, is_waiting: Callable[[], bool] | None) -> Iterator[None]:
    """Drop packets: from now on, or in a thread once the peer works on the request."""

    def drop() -> None:
        assert is_waiting is None or wait_until(is_waiting, timeout_s=BOUND_S)
        proxy.set(Mode.DROP)

    if is_waiting is None:
        drop()
    with ThreadPoolExecutor(1) as pool:
        dropped = pool.submit(drop) if is_waiting else None
        yield
        if dropped:
            dropped.result(0)


WHEN = pytest.mark.parametrize("waits", [False, True], ids=["before the request", "while it waits"])


@WHEN
def test_postgres(
    db: None, to_postgres: Proxy, monkeypatch: pytest.MonkeyPatch, *, waits: bool
) -> None:
    monkeypatch.setattr(project_settings, "_WATCHFUL", tcp.watchful(notice_s=NOTICE_S))
    ours = connect(to_postgres)
    with socket.socket(fileno=os.dup(ours.fileno())) as sock:
        assert_short(sock)
    pid = ours.info.backend_pid

    def is_active() -> bool:
        query = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        with connection.cursor() as cursor:
            cursor.execute(query, [pid])
            found = cursor.fetchone() is not None
        connection.close()  # this thread's
        return found

    with (
        ours,
        dropping(to_postgres, is_active if waits else None),
        pytest.raises(psycopg.OperationalError),
    ):
        ours.execute("SELECT pg_sleep(%s)", [LIMIT_S])
    with connection.cursor() as cursor:  # the server still works for the lost client
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(psycopg.OperationalError):
        connect(to_postgres)


def request(client: AnthropicClient) -> None:
    client.complete(
        InferenceRequest(
            attempt_id=uuid4(),
            model="claude-haiku-5-5",
            system=(),
            messages=(Message("user", (TextBlock("Hello"),)),),
            max_tokens=100,
            deadline_s=LIMIT_S,
        ),
        cancel=Cancel(),
    )


def socket_of(client: AnthropicClient) -> Any:
    """Return the socket of the client's only connection."""
    (idle,) = client._transport._pool.connections
    stream = idle._connection._network_stream  # type: ignore[attr-defined]
    return stream.get_extra_info("socket")


@WHEN
def test_the_provider(sandbox: SandboxServer, *, waits: bool) -> None:
    with (
        Proxy(target=target_of(sandbox.url)) as proxy,
        closing(
            AnthropicClient(
                api_key="k",
                base_url=f"http://{HOST}:{proxy.port}",
                idle_timeout_s=LIMIT_S,
                peer_timeout_s=NOTICE_S,
            )
        ) as client,
    ):
        request(client)  # the next request uses this connection again
        assert_short(socket_of(client))
        sandbox.reset()
        sandbox.set_faults({"kind": "slow_first_byte"})
        with (
            dropping(proxy, (lambda: bool(sandbox.calls())) if waits else None),
            pytest.raises(InferenceError) as raised,
        ):
            request(client)
        assert raised.value.retryable
        assert raised.value.provider_failure


def test_a_worker_closes_its_broker_connections_and_recovers(
    processes: Processes, make_job: MakeJob
) -> None:
    def succeeds(job: Job) -> bool:
        publisher.refill()
        return Job.objects.get(pk=job.pk).status == Status.SUCCEEDED

    def connections() -> set[int]:
        return {
            found.laddr.port
            for found in psutil.Process(worker.process.pid).net_connections("tcp")
            if getattr(found.raddr, "port", None) == proxy.port
        }

    waits: list[float] = []

    def are_closed() -> bool:
        waits.extend(keepalive_waits(worker.process.pid, proxy.port))
        return not before & connections()

    url = django_settings.REDIS_URL
    with Proxy(target=target_of(url)) as proxy:
        processes.env["REDIS_URL"] = through(url, host=HOST, port=proxy.port)
        processes.env["PEER_TIMEOUT_SECONDS"] = str(NOTICE_S)
        worker = processes.llm("worker")
        first = make_job(input=TEXT)
        assert wait_until(lambda: succeeds(first), timeout_s=BOUND_S), text_of(worker.log)
        before = connections()
        assert before
        proxy.set(Mode.DROP)
        assert wait_until(are_closed, timeout_s=MINUTE_S), text_of(worker.log)
        assert waits, "no timer of a connection was seen"
        assert 0 < max(waits) <= NOTICE_S / 2, "it uses the time-out of production"
        proxy.set(Mode.PASS)
        second = make_job(input=TEXT)
        assert wait_until(lambda: succeeds(second), timeout_s=BOUND_S), text_of(worker.log)


def test_production_values_are_below_a_minute(
    db: None, to_postgres: Proxy, sandbox: SandboxServer
) -> None:
    with connect(to_postgres) as found, socket.socket(fileno=os.dup(found.fileno())) as sock:
        assert_watchful(sock)
    client = AnthropicClient(api_key="k", base_url=sandbox.url)
    with closing(client):
        request(client)
        assert_watchful(socket_of(client))
    for synchronous in (writer.process()._client, dispatcher._client()):
        assert_watchful(open_socket(synchronous.connection_pool))
    for used in (current_app.connection_for_read(), broker.connection()):
        channel: Any = used.default_channel
        assert_watchful(open_socket(channel.client.connection_pool))
        used.release()
    options = django_settings.CELERY_BROKER_TRANSPORT_OPTIONS
    assert 1 + 2 * options["health_check_interval"] < MINUTE_S
    asyncio.run(assert_hub_is_watchful())


def open_socket(pool: Any) -> Any:
    found = pool.get_connection()
    try:
        return found._sock
    finally:
        pool.release(found)


async def assert_hub_is_watchful() -> None:
    hub = Hub(django_settings.REDIS_URL)
    with hub.reading(uuid4(), 1, lambda: None):
        async with asyncio.timeout(BOUND_S):
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
