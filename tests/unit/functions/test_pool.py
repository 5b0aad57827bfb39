"""Functions run in other processes, which are ended when they hang."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from aifeature import features, registry
from aifeature.services.functions import FunctionPool, process
from aifeature.services.functions.errors import FunctionFailedError, FunctionsAwayError
from aifeature.services.functions.host import Host
from aifeature.spec import Feature
from tests.unit.functions import acts

SHORT_S = 0.2
"""A limit that a hanging function exceeds."""

PATIENCE_S = 30.0

ACTS = acts.FEATURE
OTHER = ACTS.model_copy(update={"slug": "other"})


def write_feature(folder: Path, feature: Feature) -> Path:
    file = folder / feature.slug / "feature.py"
    file.parent.mkdir()
    (file.parent / "__init__.py").touch()
    text = Path(acts.__file__).read_text()
    file.write_text(text.replace('slug="acts"', f'slug="{feature.slug}"'))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two features."""
    made = tmp_path_factory.mktemp("features")
    for feature in (ACTS, OTHER):
        write_feature(made, feature)
    return made


@pytest.fixture(scope="module")
def started(folder: Path) -> Iterator[FunctionPool]:
    pool = FunctionPool(limit_s=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "__path__", [str(folder)])
        patch.setattr(registry, "all_features", lambda: {"acts": ACTS, "other": OTHER})
        pool.start()
    yield pool
    pool.close()


@pytest.fixture
def pool(started: FunctionPool) -> FunctionPool:
    """A pool whose limit no function reaches that does not hang."""
    started._limit_s = 60
    return started


def done(pool: FunctionPool, text: str, feature: Feature = ACTS, folder: Path | str = "/") -> int:
    """Call the check. Return the pid in which it ran."""
    given = {"text": text, "folder": str(folder)}
    (pid,) = pool.call(feature, "check", given, '{"value": 1}')
    return int(pid)


def children(pool: FunctionPool) -> set[int]:
    assert pool._host is not None
    host = psutil.Process(pool._host._process.pid)
    return {child.pid for child in host.children(recursive=True)}


def test_a_function_that_holds_the_interpreter_is_ended(pool: FunctionPool) -> None:
    pid = done(pool, "works")
    pool._limit_s = SHORT_S
    ticks, ended = 0, threading.Event()
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(done, pool, "holds")
        call.add_done_callback(lambda _: ended.set())
        while not ended.wait(0.001):
            ticks += 1
        with pytest.raises(FunctionFailedError, match=r"^takes longer than 0.2 s$"):
            call.result()
    assert ticks > 10, "other threads go on"
    assert pid not in children(pool)
    pool._limit_s = 60
    assert done(pool, "works") != pid


def test_processes_of_a_function_end_with_it(pool: FunctionPool) -> None:
    pool._limit_s = SHORT_S
    with pytest.raises(FunctionFailedError, match="takes longer"):
        done(pool, "forks")
    assert children(pool) <= {child.pid for child in pool._idle}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raises", r"^raised KeyError in aifeature\.features\.acts\.feature\.<lambda>, line \d+$"),
        ("recurses", "^raised RecursionError in aifeature.features.acts"),
        ("exits", "^raised SystemExit in aifeature.features.acts"),
        ("ends", "^ended its process with exit code 3$"),
        ("crashes", "^ended its process with signal 11$"),
        ("is killed", "^was killed twice$"),
    ],
)
def test_a_function_that_fails_is_described(pool: FunctionPool, text: str, words: str) -> None:
    with pytest.raises(FunctionFailedError, match=words) as error:
        done(pool, text)
    assert "SECRET" not in str(error.value)
    done(pool, "works")


def test_a_result_that_is_no_value_is_an_error(pool: FunctionPool) -> None:
    given = {"text": "no JSON"}
    with pytest.raises(FunctionFailedError, match="raised TypeError in "):
        pool.call(ACTS, "approval", given, '{"value": 1}')
    with pytest.raises(FunctionFailedError, match="raised PydanticSerializationError in "):
        pool.call(ACTS, "plain", given)
    assert pool.call(ACTS, "plain", {"text": "half a character"}) == r'{"value": "\ud800"}'


def test_a_function_that_was_killed_from_outside_runs_again(
    pool: FunctionPool, tmp_path: Path
) -> None:
    pid = done(pool, "is killed once", folder=tmp_path)
    assert pid != int((tmp_path / acts.FIRST_PID).read_text())


def test_a_child_that_was_killed_while_idle_is_replaced(pool: FunctionPool) -> None:
    pid = done(pool, "works")
    os.kill(pid, signal.SIGKILL)
    assert done(pool, "works") != pid


def test_a_child_is_used_again_unless_a_thread_is_left_in_it(pool: FunctionPool) -> None:
    pid = done(pool, "works")
    assert done(pool, "works", OTHER) == pid
    assert done(pool, "thread") == pid
    assert done(pool, "works") != pid


def test_two_features_run_at_the_same_time(pool: FunctionPool, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(done, pool, "meets", each, tmp_path) for each in (ACTS, OTHER)]
        one, two = (call.result() for call in calls)
    assert one != two


def test_a_child_loads_the_code_of_the_start(pool: FunctionPool, folder: Path) -> None:
    pid = done(pool, "works")
    file = folder / "acts" / "feature.py"
    text = file.read_text()
    file.write_text("raise RuntimeError")
    os.kill(pid, signal.SIGKILL)
    assert done(pool, "works") != pid
    file.write_text(text)


def test_signals_of_a_stop_end_no_function(pool: FunctionPool) -> None:
    pid = done(pool, "works")
    assert pool._host is not None
    for each in (pid, pool._host._process.pid):
        for signum in (signal.SIGINT, signal.SIGTERM):
            os.kill(each, signum)
        assert os.getpgid(each) != os.getpgid(0), "signals of the worker's group do not reach it"
    assert done(pool, "works") == pid


def test_a_child_has_no_settings_and_no_stores(pool: FunctionPool) -> None:
    modules = pool.call(ACTS, "check", {"text": "modules"}, '{"value": 1}')
    assert not {"django", "redis", "psycopg", "celery"} & set(modules)


def test_a_function_prints_nothing(pool: FunctionPool, capfd: pytest.CaptureFixture[str]) -> None:
    done(pool, "prints")
    assert capfd.readouterr() == ("", "")


def test_without_functions_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    update = {"check": None, "approval": None, "offers_plain": False}
    without = ACTS.model_copy(update=update)
    monkeypatch.setattr(registry, "all_features", lambda: {"acts": without})
    pool = FunctionPool()
    pool.start()
    assert pool._host is None


def test_all_processes_end_with_the_worker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed closes its socket, and ends no child."""
    monkeypatch.setattr(features, "__path__", [str(folder)])
    host = Host()
    idle, hangs = host.fork(), host.fork()
    call = {"slug": "acts", "name": "check", "given": '{"text": "holds"}', "answer": '{"value": 1}'}
    hangs.connection.sendall(json.dumps({**call, "end_s": 60}).encode() + b"\n")
    host._control.shutdown(socket.SHUT_WR)
    assert host._process.wait(PATIENCE_S) == 0
    for child in (idle, hangs):
        assert not psutil.pid_exists(child.pid)
        child.connection.close()
    host.close()


def test_a_child_without_a_parent_ends_itself(pool: FunctionPool) -> None:
    pool._limit_s = SHORT_S
    child = pool._new()
    call = {"slug": "acts", "name": "check", "given": '{"text": "holds"}', "answer": '{"value": 1}'}
    request = json.dumps({**call, "end_s": SHORT_S}).encode() + b"\n"
    with pytest.raises(FunctionFailedError, match="takes longer"):
        pool._judge(pool._end(child) if child.reply(request, PATIENCE_S) is None else None)


def test_a_process_that_was_killed_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "__path__", [str(folder)])
    pool = FunctionPool(limit_s=60)
    pid = done(pool, "works")
    assert pool._host is not None
    pool._host._process.kill()
    pool._host._process.wait(PATIENCE_S)
    os.kill(pid, signal.SIGKILL)
    assert done(pool, "works") != pid
    pool.close()


def test_a_process_that_cannot_be_replaced_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No later call waits for another start."""
    file = write_feature(tmp_path, ACTS)
    monkeypatch.setattr(features, "__path__", [str(tmp_path)])
    monkeypatch.setattr(registry, "all_features", lambda: {"acts": ACTS})
    ends: list[str] = []
    pool = FunctionPool(limit_s=60)
    pool.start(when_away=lambda: ends.append("end"))
    assert pool._host is not None
    file.write_text("1 / 0")
    pool._host._process.kill()
    pool._host._process.wait(PATIENCE_S)
    for _ in range(2):
        with pytest.raises(FunctionsAwayError):
            done(pool, "works")
    assert ends == ["end"]
    pool.close()


def test_a_feature_that_the_process_lacks_is_not_to_blame(pool: FunctionPool) -> None:
    with pytest.raises(FunctionsAwayError, match="without gone"):
        pool.call(ACTS.model_copy(update={"slug": "gone"}), "check", {"text": "works"}, "{}")


@pytest.mark.parametrize("place", ["socket.socketpair", "subprocess.Popen"])
def test_a_machine_without_room_is_no_fault_of_a_feature(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(place, full)
    with pytest.raises(FunctionsAwayError, match="Too many open files"):
        Host()


def test_a_fork_that_fails_is_reported_to_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process goes on, and the children of other calls with it."""
    monkeypatch.setattr(os, "fork", _no_fork)
    ours, theirs = socket.socketpair()
    connection = socket.socketpair()
    found = process._fork({}, os.dup(connection[1].fileno()), theirs)
    assert found == -errno.EAGAIN
    for each in (ours, theirs, *connection):
        each.close()


def _no_fork() -> int:
    raise OSError(errno.EAGAIN, "Resource temporarily unavailable")


def test_features_that_do_not_load_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_feature(tmp_path, ACTS).write_text("1 / 0")
    monkeypatch.setattr(features, "__path__", [str(tmp_path)])
    with pytest.raises(FunctionsAwayError, match="ended with code 1"):
        Host()
    assert "ZeroDivisionError" in capfd.readouterr().err
