"""The real web server is reloaded and stopped, and its clients lose no request."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx2
import pytest
from django.db import connection

from aifeature.models import Job, Status, transitions
from aifeature.models.transitions import Claimed
from aifeature.services.streams import writer
from aifeature.services.streams.writer import JobStream
from project.stack.local_dir import CHECKOUT
from tests.integration.streams.readers import Stream
from tests.integration.streams.web_server import WebServer, running
from tests.releases import Release, next_release

pytestmark = pytest.mark.slow

GUNICORN = ["gunicorn", "-c", "deploy/gunicorn.conf.py", "project.asgi:application"]
PATIENCE_S = 20.0
"""Seconds that a test waits for an immediate answer. A process waits longer for its successor."""

SIGNAL_S = 1.5
"""Seconds in which a process receives a signal. The tests pass also if it takes longer."""

QUIET_S = 2.7
"""Seconds without a request, longer than the minimum draining."""

BREATH_S = 0.02
"""Seconds between two requests. The processes that start meanwhile need the processor too."""

ANSWERS = 10
"""The least answers of each visitor before and after a change of processes."""

WORD_S = 0.05
LAST_WORDS = 20
"""Words that are written after a reload."""

HOLD = """

def post_fork(server, worker):
    import pathlib, time
    while pathlib.Path({hold!r}).exists():
        pathlib.Path({held!r}).touch()
        time.sleep(0.05)
"""
"""Added to gunicorn's settings: while the file exists, no new process begins to serve."""

REFUSED = "HUP refused"

BROKEN = {
    "deploy/gunicorn.conf.py": "workers = = 2\n",
    "project/asgi.py": "raise RuntimeError('not this one')\n",
    "aifeature/web/views.py": "from aifeature.web import nothing_of_the_kind\n",
}
"""Files that the main process, the workers and the requests load, one of each kind."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A server that runs a release of its own."""

    server: WebServer
    release: Release
    hold: Path
    """While this file exists, no new process begins to serve."""

    held: Path
    """Exists as soon as a new process waits for the end of the hold."""


@pytest.fixture(scope="module")
def deployed(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """One server for all reloads, since each start of a process costs seconds."""
    folder = tmp_path_factory.mktemp("reload")
    hold, held = folder / "hold", folder / "held"
    release = next_release(folder / "release")
    path = "deploy/gunicorn.conf.py"
    settings = (release.folder / path).read_text()
    release.write(path, settings + HOLD.format(hold=str(hold), held=str(held)))
    with running(GUNICORN, folder / "web.log", cwd=release.folder, WEB_CONCURRENCY="2") as server:
        yield Deployed(server, release, hold, held)


class Visitor(threading.Thread):
    """Sends requests all the time, on one connection or each on a new one."""

    def __init__(self, server: WebServer, path: str, token: str, *, keep: bool) -> None:
        super().__init__(daemon=True)
        self.address, self.path, self.keep = address(server), path, keep
        self.headers = {"authorization": f"Bearer {token}"}
        self.answers: list[int] = []
        self.errors: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        connection = HTTPConnection(self.address, timeout=30)
        while not self.done.wait(BREATH_S):
            try:
                connection.request("GET", self.path, headers=self.headers)
                answer = connection.getresponse()
                answer.read()
                self.answers.append(answer.status)
            except (OSError, HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
            if not self.keep:
                connection.close()
        connection.close()


def address(server: WebServer) -> str:
    return server.url.removeprefix("http://")


@contextmanager
def visiting(server: WebServer, token: str) -> Iterator[Callable[[], None]]:
    """Send requests of each kind. Yield a function that waits for ten answers of each visitor."""
    visitors = [
        Visitor(server, path, token, keep=keep)
        for path in ("/healthz", "/api/v1/features")
        for keep in (True, False)
    ]

    def answered() -> None:
        before = [len(visitor.answers) for visitor in visitors]
        wait_until(
            lambda: all(
                len(visitor.answers) >= count + ANSWERS
                for visitor, count in zip(visitors, before, strict=True)
            )
        )

    for visitor in visitors:
        visitor.start()
    try:
        yield answered
    finally:
        for visitor in visitors:
            visitor.done.set()
        for visitor in visitors:
            visitor.join(40)
    for visitor in visitors:
        assert visitor.errors == []
        assert set(visitor.answers) == {200}


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@contextmanager
def typing(stream: JobStream, words: list[str]) -> Iterator[None]:
    """Write a word every 50 ms in a thread, as a model does, until after the context."""
    reloaded = threading.Event()

    def write() -> None:
        take = stream.sink()
        assert take is not None
        take('{"summary": "')
        last, pause = LAST_WORDS, threading.Event()
        while last:
            words.append(f"w{len(words)} ")
            take(words[-1])
            last -= reloaded.is_set()
            pause.wait(WORD_S)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        reloaded.set()
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
def test_a_reload_loses_no_connection_no_request_and_no_text(
    deployed: Deployed, claimed: Claimed, token: str
) -> None:
    """While the successors are held, the present processes serve. A stream resumes where it was."""
    server, words, stream = deployed.server, list[str](), Stream()
    job = Job.objects.get(pk=claimed.job)
    connection.close()
    before = server.workers()
    connections = 0

    def reload() -> None:
        try:
            wait_until(lambda: bool(stream.text))
            deployed.hold.touch()
            server.process.send_signal(signal.SIGHUP)
            wait_until(deployed.held.exists)
            with visiting(server, token) as answered:
                threading.Event().wait(SIGNAL_S)
                answered()
                assert before < server.workers()
                deployed.hold.unlink()
                wait_until(lambda: not before & server.workers())
                answered()
        finally:
            deployed.hold.unlink(missing_ok=True)
            typed.close()
            result = {"summary": "".join(words), "key_facts": []}
            transitions.finish(claimed, Status.SUCCEEDED, result=result)
            connection.close()

    with (
        writer.process().open(claimed.job, claimed.epoch, "summary") as output,
        ExitStack() as typed,
        ThreadPoolExecutor(1) as threads,
    ):
        typed.enter_context(typing(output, words))
        reloading = threads.submit(reload)
        while not stream.named("result"):
            assert connections < 20
            follow(server, token, job, stream)
            connections += 1
        reloading.result(PATIENCE_S)
    assert stream.text == "".join(words)
    assert stream.named("reset") == []
    assert "restarts" in "".join(stream.comments)
    assert connections > 1


@pytest.mark.timeout(400)
def test_a_release_that_does_not_boot_is_refused_and_the_old_one_serves(
    deployed: Deployed,
) -> None:
    server, release = deployed.server, deployed.release
    workers, refused = server.workers(), server.log.read_text().count(REFUSED)
    for path, text in BROKEN.items():
        before = (release.folder / path).read_text()
        release.write(path, text)
        try:
            server.process.send_signal(signal.SIGHUP)
            refused += 1
            serves_until_refused(server, refused)
        finally:
            release.write(path, before)
        assert server.workers() == workers
    server.reload()
    assert not server.workers() & workers


def test_a_process_has_loaded_its_code_before_the_first_request() -> None:
    """A request after a release has replaced the files needs nothing of the new release."""
    needed = {"aifeature.web.views", "aifeature.features.summarize.feature", "workers.tasks"}
    script = f"import sys, project.asgi; assert {needed} <= set(sys.modules), {needed}"
    subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, check=True, timeout=PATIENCE_S)


def serves_until_refused(server: WebServer, times: int) -> None:
    with httpx2.Client(trust_env=False, timeout=60) as client:

        def refused() -> bool:
            assert client.get(f"{server.url}/healthz").status_code == 200
            return server.log.read_text().count(REFUSED) >= times

        wait_until(refused)


def test_a_stop_answers_requests_and_ends_streams(
    claimed: Claimed, token: str, tmp_path: Path
) -> None:
    """Each connection from before the stop gets one more answer, also after a long silence."""
    log, long = tmp_path / "web.log", "30"
    with (
        running(GUNICORN, log, WEB_CONCURRENCY="1", WEB_GRACEFUL_TIMEOUT=long) as server,
        end_awaited(server),
        ending_stream(server, claimed, token),
        ExitStack() as exits,
    ):
        visitors = [HTTPConnection(address(server), timeout=PATIENCE_S) for _ in range(100)]
        for visitor in visitors:
            exits.callback(visitor.close)
            visitor.connect()
            visitor.auto_open = 0  # or it would reconnect silently
        last, kept = visitors.pop(), visitors.pop()
        assert response_of(kept) == (200, None)
        assert response_of(last) == (200, None), "it has accepted all connections"
        server.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE_S
        while (answer := response_of(last)) == (200, None):  # it has not begun to stop
            assert time.monotonic() < until
            threading.Event().wait(0.05)
        assert answer == (200, "close")
        assert response_of(visitors.pop()) == (200, "close"), "idle until now"
        threading.Event().wait(QUIET_S)
        assert response_of(kept) == (200, "close")


def test_uvicorn_alone_ends_streams_too(claimed: Claimed, token: str, tmp_path: Path) -> None:
    command = ["uvicorn", "project.asgi:application", "--port", "PORT"]
    with (
        running(command, tmp_path / "web.log", WEB_CONCURRENCY="1") as server,
        end_awaited(server),
        ending_stream(server, claimed, token),
    ):
        server.process.send_signal(signal.SIGTERM)


@contextmanager
def end_awaited(server: WebServer) -> Iterator[None]:
    """Expect the server to end by itself after this context. `running` would kill it."""
    yield
    server.process.wait(PATIENCE_S)


@contextmanager
def ending_stream(server: WebServer, claimed: Claimed, token: str) -> Iterator[None]:
    """Read a stream that the server ends with a comment in this context."""
    job = Job.objects.get(pk=claimed.job)
    connection.close()
    stream = Stream()
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(follow, server, token, job, stream)
        wait_until(lambda: bool(stream.named("status")))
        # Each process logs it at boot.
        wait_until(lambda: "Global daily cap: $" in server.log.read_text())
        yield
        reading.result(PATIENCE_S)  # raises if the stream broke off
    assert "restarts" in stream.comments[-1]


def response_of(connection: HTTPConnection) -> tuple[int, str | None]:
    """Return the status and the Connection header of an answer."""
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")
