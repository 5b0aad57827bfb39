"""The real web server is reloaded and stopped, and its clients lose no request."""

from __future__ import annotations

import os
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
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
from tests.releases import next_release

pytestmark = pytest.mark.slow

GUNICORN = ["gunicorn", "-c", "deploy/gunicorn.conf.py", "project.asgi:application"]
WORDS = 120
PATIENCE_S = 20.0
"""Seconds that a test waits for an immediate answer. A process waits longer for its successor."""

SIGNAL_S = 1.5
"""Seconds in which a process receives a signal. The tests pass also if it takes longer."""

HOLD = """

def post_fork(server, worker):
    import pathlib, time
    while pathlib.Path({hold!r}).exists():
        pathlib.Path({held!r}).touch()
        time.sleep(0.05)
"""
"""Added to gunicorn's settings: while the file exists, no new process begins to serve."""


@pytest.fixture
def gunicorn(token: str, tmp_path: Path) -> Iterator[WebServer]:
    with running(GUNICORN, tmp_path / "web.log", WEB_CONCURRENCY="2") as server:
        yield server


QUIET_S = 2.7
"""Seconds without a request, longer than the minimum draining."""

BREATH_S = 0.01
"""Seconds between two requests. The processes that start meanwhile need the processor too."""


ANSWERS = 10
"""The least answers of each visitor. Slow ones may need longer than a reload."""


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Spares each client the loading of all authorities, which takes longer than its request."""


class Visitor(threading.Thread):
    """Sends requests all the time, on one connection or each on a new one."""

    def __init__(self, url: str, headers: dict[str, str], *, keep: bool) -> None:
        super().__init__(daemon=True)
        self.url, self.headers, self.keep = url, headers, keep
        self.answers: list[int] = []
        self.errors: list[str] = []
        self.done = threading.Event()

    def client(self) -> httpx2.Client:
        return httpx2.Client(headers=self.headers, trust_env=False, timeout=30, verify=NO_TLS)

    def run(self) -> None:
        client = self.client()
        while not self.done.wait(BREATH_S):
            try:
                self.answers.append(client.get(self.url).status_code)
            except httpx2.TransportError as error:
                self.errors.append(repr(error))
            if not self.keep:
                client.close()
                client = self.client()
        client.close()


@pytest.mark.timeout(300)
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
    before = gunicorn.workers()
    gunicorn.reload()
    assert not before & gunicorn.workers()
    wait_until(lambda: all(len(visitor.answers) > ANSWERS for visitor in visitors))
    for visitor in visitors:
        visitor.done.set()
    for visitor in visitors:
        visitor.join(40)
        assert visitor.errors == []
        assert set(visitor.answers) == {200}


@pytest.mark.timeout(300)
def test_the_present_processes_serve_until_their_successors_do(token: str, tmp_path: Path) -> None:
    release, hold, held = next_release(tmp_path / "release"), tmp_path / "hold", tmp_path / "held"
    settings = (release.folder / "deploy/gunicorn.conf.py").read_text()
    release.write("deploy/gunicorn.conf.py", settings + HOLD.format(hold=str(hold), held=str(held)))
    with running(GUNICORN, tmp_path / "web.log", cwd=release.folder, WEB_CONCURRENCY="2") as server:
        before = server.workers()
        hold.touch()
        server.process.send_signal(signal.SIGHUP)
        wait_until(held.exists)
        threading.Event().wait(SIGNAL_S)
        for _ in range(3):
            answer = httpx2.get(f"{server.url}/healthz", trust_env=False, timeout=PATIENCE_S)
            assert answer.status_code == 200
        hold.unlink()
        wait_until(lambda: not before & server.workers())
        answer = httpx2.get(f"{server.url}/healthz", trust_env=False, timeout=PATIENCE_S)
        assert answer.status_code == 200


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@contextmanager
def typing(stream: JobStream, words: list[str], answer: threading.Event) -> Iterator[None]:
    """Write a word every 50 ms in a thread, as a model does, until all are written."""

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
    """Read until the stream ends. Send the last id, as EventSource does."""
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


@pytest.mark.timeout(300)
def test_a_stream_ends_with_a_comment_and_resumes_where_it_was(
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
        try:
            wait_until(lambda: bool(stream.text))
            gunicorn.reload()
            assert answered.wait(30)
        finally:
            transitions.finish(claimed, Status.SUCCEEDED, result={"summary": text, "key_facts": []})
            connection.close()

    output = writer.process().open(claimed.job, claimed.epoch, "summary")
    with output as out, typing(out, words, answered), ThreadPoolExecutor(1) as threads:
        reloading = threads.submit(reload)
        while not stream.named("result"):
            assert connections < 20
            follow(gunicorn, token, job, stream)
            connections += 1
        reloading.result(PATIENCE_S)
    assert stream.text == text
    assert stream.named("reset") == []
    assert "restarts" in "".join(stream.comments)
    assert connections > 1


@pytest.mark.parametrize("argv", [GUNICORN, None], ids=["gunicorn", "uvicorn"])
def test_open_streams_end_with_a_comment_when_the_server_stops(
    argv: list[str] | None, claimed: Claimed, token: str, ada: User, tmp_path: Path
) -> None:
    job = Job.objects.get(pk=claimed.job)
    connection.close()
    log = tmp_path / "web.log"
    command = argv or ["uvicorn", "project.asgi:application", "--port", "PORT"]
    stream = Stream()
    with ThreadPoolExecutor(1) as threads, running(command, log, WEB_CONCURRENCY="1") as server:
        reading = threads.submit(follow, server, token, job, stream)
        wait_until(lambda: bool(stream.named("status")))
        wait_until(lambda: "Global daily cap: $" in log.read_text())  # each process logs it at boot
        server.process.send_signal(signal.SIGTERM)
        reading.result(PATIENCE_S)  # raises if the stream broke off
        assert "restarts" in stream.comments[-1]
        server.process.wait(PATIENCE_S)


def test_a_request_during_the_stop_is_answered(token: str, tmp_path: Path) -> None:
    with (
        running(GUNICORN, tmp_path / "web.log", WEB_CONCURRENCY="1") as server,
        ExitStack() as exits,
    ):
        (worker,) = server.workers()
        address = server.url.removeprefix("http://")
        visitors = [HTTPConnection(address, timeout=PATIENCE_S) for _ in range(100)]
        for visitor in visitors:
            exits.callback(visitor.close)
            visitor.connect()
        last = visitors.pop()
        assert response_of(last) == (200, None), "it has accepted all connections"
        os.kill(worker, signal.SIGTERM)
        until = time.monotonic() + PATIENCE_S
        while (answer := response_of(last)) == (200, None):  # it has not begun to stop
            assert time.monotonic() < until
            threading.Event().wait(0.05)
        assert answer == (200, "close")
        assert response_of(visitors.pop()) == (200, "close"), "idle until now"


def test_a_kept_connection_is_answered_long_after_the_signal_to_stop(
    token: str, tmp_path: Path
) -> None:
    log = tmp_path / "web.log"
    with running(GUNICORN, log, WEB_CONCURRENCY="1", WEB_GRACEFUL_TIMEOUT="30") as server:
        (worker,) = server.workers()
        with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=20)) as kept:
            kept.connect()
            kept.auto_open = 0  # or it would reconnect silently
            assert response_of(kept) == (200, None)
            os.kill(worker, signal.SIGTERM)
            threading.Event().wait(QUIET_S)
            assert response_of(kept) == (200, "close")


def response_of(connection: HTTPConnection) -> tuple[int, str | None]:
    """Return the status and the Connection header of an answer."""
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")
