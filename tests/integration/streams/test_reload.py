"""The real web server is reloaded and stopped, and nobody who uses it meanwhile notices."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import httpx2
import pytest
from django.contrib.auth.models import User
from django.db import connection

from aifeature.models import Job, Status, transitions
from aifeature.models.transitions import Claimed
from aifeature.services.streams import writer
from aifeature.services.streams.writer import JobStream
from tests.integration.streams.readers import Stream
from tests.integration.streams.web_server import WebServer, running

GUNICORN = ["gunicorn", "-c", "deploy/gunicorn.conf.py", "project.asgi:application"]
WORDS = 120
STALL_S = 3.0
"""Far above what an answer takes while other processes start, below what their start takes when
nobody serves meanwhile and two of them follow each other."""


@pytest.fixture
def gunicorn(token: str, tmp_path: Path) -> Iterator[WebServer]:
    with running(GUNICORN, tmp_path / "web.log", WEB_CONCURRENCY="2") as server:
        yield server


UNASKED_S = 2.7
"""Longer than a worker may keep a connection open and still be in a hurry."""

BREATH_S = 0.01
"""Between two requests: the processes that start meanwhile need the processor as well."""


class Visitor(threading.Thread):
    """Asks all the time, on one connection or each time on a new one."""

    def __init__(self, url: str, headers: dict[str, str], *, keep: bool) -> None:
        super().__init__(daemon=True)
        self.url, self.headers, self.keep = url, headers, keep
        self.answers: list[int] = []
        self.errors: list[str] = []
        self.longest = 0.0
        self.done = threading.Event()

    def client(self) -> httpx2.Client:
        return httpx2.Client(headers=self.headers, trust_env=False, timeout=30)

    def run(self) -> None:
        client = self.client()
        while not self.done.wait(BREATH_S):
            started = time.monotonic()
            try:
                self.answers.append(client.get(self.url).status_code)
            except httpx2.TransportError as error:
                self.errors.append(repr(error))
            self.longest = max(self.longest, time.monotonic() - started)
            if not self.keep:
                client.close()
                client = self.client()
        client.close()


def test_a_reload_refuses_no_connection_and_loses_no_request(
    gunicorn: WebServer, token: str
) -> None:
    headers = {"authorization": f"Bearer {token}"}
    visitors = [
        Visitor(f"{gunicorn.url}{path}", headers, keep=keep)
        for path in ("/healthz", "/healthz", "/api/v1/features")
        for keep in (True, False)
    ]
    for visitor in visitors:
        visitor.start()
    for _ in range(2):
        before = gunicorn.workers()
        gunicorn.reload()
        assert not before & gunicorn.workers()
    for visitor in visitors:
        visitor.done.set()
    for visitor in visitors:
        visitor.join(40)
        assert visitor.errors == []
        assert set(visitor.answers) == {200}
        assert len(visitor.answers) > 10
        assert visitor.longest < STALL_S


@contextmanager
def typing(stream: JobStream, words: list[str], answer: threading.Event) -> Iterator[None]:
    """A model that writes a word every 50 ms until it has written all."""

    def write() -> None:
        take = stream.sink()
        assert take is not None
        take('{"summary": "')
        pause = threading.Event()
        for word in words:
            take(word)
            pause.wait(0.05)
        answer.set()

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join()


def follow(server: WebServer, token: str, job: Job, stream: Stream) -> None:
    """Read until the stream ends, as EventSource would: with the last id that came."""
    headers = {"authorization": f"Bearer {token}"}
    if stream.events and any(event.id for event in stream.events):
        headers["last-event-id"] = stream.last_id
    with httpx2.stream(
        "GET",
        f"{server.url}/api/v1/jobs/{job.id}/events",
        headers=headers,
        trust_env=False,
        timeout=30,
    ) as response:
        assert response.status_code == 200
        for chunk in response.iter_raw():
            stream.take(chunk)


def test_a_stream_ends_politely_and_resumes_where_it_was(
    gunicorn: WebServer, claimed: Claimed, token: str
) -> None:
    words = [f"w{number} " for number in range(WORDS)]
    text = "".join(words)
    job = Job.objects.get(pk=claimed.job)
    connection.close()
    answered = threading.Event()
    connections = 0
    stream = Stream()

    def reload() -> None:
        gunicorn.reload()
        answered.wait(30)
        transitions.finish(claimed, Status.SUCCEEDED, result={"summary": text, "key_facts": []})
        connection.close()

    output = writer.process().open(claimed.job, claimed.epoch, "summary")
    with output as out, typing(out, words, answered):
        while not stream.text:
            reloading = threading.Timer(1.0, reload)
            reloading.start()
            follow(gunicorn, token, job, stream)
            connections += 1
        while stream.events[-1].name != "result":
            assert connections < 20
            follow(gunicorn, token, job, stream)
            connections += 1
        reloading.join()
    assert stream.text == text
    assert stream.named("reset") == []
    assert "restarts" in "".join(stream.comments)
    assert connections > 1


@pytest.mark.parametrize("argv", [GUNICORN, None], ids=["gunicorn", "uvicorn"])
def test_stops_soon_though_streams_are_open(
    argv: list[str] | None, claimed: Claimed, token: str, ada: User, tmp_path: Path
) -> None:
    job = Job.objects.get(pk=claimed.job)
    connection.close()
    log = tmp_path / "web.log"
    command = argv or ["uvicorn", "project.asgi:application", "--port", "PORT"]
    with running(command, log, WEB_CONCURRENCY="1") as server:
        stream = Stream()
        ended: list[float] = []

        def read() -> None:
            follow(server, token, job, stream)
            ended.append(time.monotonic())

        thread = threading.Thread(target=read)
        thread.start()
        until = time.monotonic() + 20
        while not stream.named("status"):
            assert time.monotonic() < until
            time.sleep(0.01)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        thread.join(20)
        assert ended, "the stream broke off"
        assert ended[0] - told < 1
        assert "restarts" in stream.comments[-1]
        server.process.wait(5)


def test_a_request_that_comes_while_the_process_stops_is_answered(
    token: str, tmp_path: Path
) -> None:
    with running(GUNICORN, tmp_path / "web.log", WEB_CONCURRENCY="1") as server:
        (worker,) = server.workers()
        host, _, port = server.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), 20) as fresh:
            os.kill(worker, signal.SIGTERM)
            threading.Event().wait(0.5)  # it has stopped to take connections; ours is open
            fresh.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = b""
            while part := fresh.recv(4096):
                answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()


def test_a_kept_connection_is_answered_long_after_its_process_was_asked_to_stop(
    token: str, tmp_path: Path
) -> None:
    log = tmp_path / "web.log"
    with running(GUNICORN, log, WEB_CONCURRENCY="1", WEB_GRACEFUL_TIMEOUT="8") as server:
        (worker,) = server.workers()
        with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=20)) as kept:
            kept.connect()
            kept.auto_open = 0  # or it would connect anew without a word
            assert asked(kept) == (200, None)
            os.kill(worker, signal.SIGTERM)
            threading.Event().wait(UNASKED_S)
            assert asked(kept) == (200, "close")


def asked(connection: HTTPConnection) -> tuple[int, str | None]:
    """Status and Connection header of an answer."""
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")
