"""A web process ends: its answers contain `Connection: close`, and idle connections stay open."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import web_worker
from project.concurrency import Concurrency
from tests.chaos import client
from tests.system import component
from tests.unit.web.ending_server import CLOSE, EndingServer, wait_until

pytestmark = pytest.mark.slow

LEAST_DRAIN_S = 2.5
GRACEFUL_S = 25
A_MOMENT_S = 0.3
"""Far longer than a server needs to close a connection."""

SOON_S = 20.0
"""Far shorter than the draining in production."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EndingServer]:
    """A server that drains for a moment and has much more time to end."""
    monkeypatch.setattr(web_worker, "LEAST_DRAIN_S", LEAST_DRAIN_S)
    monkeypatch.setattr(web_worker, "CLOSE_S", float(GRACEFUL_S))
    server = EndingServer(graceful_s=GRACEFUL_S)
    with server.running():
        yield server


@pytest.fixture
def patient() -> Iterator[EndingServer]:
    """A server that drains for as long as in production."""
    server = EndingServer(graceful_s=30)
    with server.running():
        yield server


def test_a_request_that_began_before_the_end_is_answered_with_close(
    server: EndingServer,
) -> None:
    connection = server.connection()
    connection.send("/wait")
    server.tick()  # from now on the headers differ from those at the begin of the request
    server.end()
    server.let_go()
    assert CLOSE in connection.read()
    assert connection.is_ended()


def test_a_silent_connection_is_closed_after_the_draining(
    server: EndingServer,
) -> None:
    connection = server.connection()
    server.end()
    assert LEAST_DRAIN_S <= server.ended_after() < GRACEFUL_S
    assert connection.is_ended()


def test_without_connections_there_is_no_draining(patient: EndingServer) -> None:
    patient.end()
    assert patient.ended_after() < SOON_S


def test_the_draining_ends_when_all_clients_have_closed(patient: EndingServer) -> None:
    connection = patient.connection()
    patient.end()
    connection.socket.close()
    assert patient.ended_after() < SOON_S


def test_a_connection_drains_from_its_last_answer_on(server: EndingServer) -> None:
    connection = server.connection()
    connection.send("/stream")
    assert CLOSE not in connection.read(b"so\r\n")
    server.end()
    threading.Event().wait(LEAST_DRAIN_S + A_MOMENT_S)
    server.let_go()
    connection.read(b"0\r\n\r\n")
    threading.Event().wait(A_MOMENT_S)
    connection.send("/")
    assert CLOSE in connection.read()


def test_a_request_in_flight_is_not_cut_off(server: EndingServer) -> None:
    connection = server.connection()
    connection.send("/wait")
    server.end()
    threading.Event().wait(LEAST_DRAIN_S + A_MOMENT_S)
    server.let_go()
    assert connection.read().startswith(b"http/1.1 200")


def test_a_process_without_a_successor_accepts_new_connections_until_it_ends(
    patient: EndingServer,
) -> None:
    patient.connection()  # idle: the process drains because of it
    patient.end()
    threading.Event().wait(A_MOMENT_S)
    for _ in range(2):
        late = patient.connection()
        late.send("/")
        assert CLOSE in late.read()
        assert late.is_ended()


def test_a_replaced_process_leaves_new_connections_to_its_successor(
    patient: EndingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations = web_worker.Generations()
    monkeypatch.setattr(web_worker, "generations", generations)
    generations.replaced(patient.server.age)
    generations.ready(patient.server.age + 1)
    kept = patient.connection()
    patient.end()
    with pytest.raises(AssertionError):  # it is not accepted
        patient.connection(bound_s=1.0)
    kept.send("/")
    assert CLOSE in kept.read()


def test_no_new_connections_are_accepted_in_the_last_moments(server: EndingServer) -> None:
    busy = server.connection()
    busy.send("/wait")
    server.end()
    wait_until(lambda: server.server._listeners == [], bound_s=SOON_S)  # before its end
    with pytest.raises(AssertionError):
        server.connection(bound_s=1.0)
    server.let_go()
    assert CLOSE in busy.read()


def test_a_request_without_an_end_does_not_keep_a_process_running() -> None:
    server = EndingServer(graceful_s=1)
    with server.running():
        server.connection().send("/wait")
        server.end()
        assert server.ended_after() < SOON_S


def test_a_request_without_an_answer_at_the_end_gets_a_problem_document() -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    server = EndingServer(graceful_s=1, app=Concurrency(never))
    with server.running():
        connection = server.connection()
        connection.send("/api/v1/jobs")
        server.end()
        answer = connection.read(b"}")
    assert answer.startswith(b"http/1.1 503 ")
    assert b"content-type: application/problem+json" in answer
    assert b"retry-after: 2" in answer
    assert b'"code": "interrupted"' in answer


def test_a_second_ctrl_c_ends_the_draining(patient: EndingServer) -> None:
    patient.connection()
    patient.end()
    patient.server.handle_exit(signal.SIGINT, None)
    assert patient.ended_after() < SOON_S


def test_a_draining_worker_notifies_the_main_process(server: EndingServer) -> None:
    connection = server.connection()
    before = server.notified
    server.end()
    assert connection.is_ended()
    assert server.notified > before


def test_the_draining_is_all_but_three_seconds_of_the_graceful_timeout() -> None:
    assert EndingServer(graceful_s=30).server.drain_s == 27
    assert EndingServer(graceful_s=2).server.drain_s == web_worker.LEAST_DRAIN_S


def test_clients_close_idle_connections_two_seconds_before_a_process_does() -> None:
    graceful_s = int(component("web", logs=Path(), web=0).env["WEB_GRACEFUL_TIMEOUT"])
    kept_s = client.LIMITS.keepalive_expiry
    assert kept_s is not None
    assert kept_s <= EndingServer(graceful_s=graceful_s).server.drain_s - 2
