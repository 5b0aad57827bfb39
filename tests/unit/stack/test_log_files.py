"""The log files of the local stack are bounded."""

from __future__ import annotations

import signal
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from project.stack import log_files
from project.stack.children import PYTHON, Child, Launcher
from project.stack.log_files import KEPT, Follower, copy_and_empty, rotate
from project.stack.processes import ProcessRecord

LARGEST = 1_000
LINE = b"x" * 99 + b"\n"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "LARGEST", LARGEST)


def test_a_child_s_log_is_bounded_while_the_child_continues_to_write(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as server:
        server.write(LINE * 20)
        record = ProcessRecord("server", 1, 0.0, "run")
        child = Child("server", Popen([PYTHON, "-c", ""]), record, log, tmp_path)
        child.process.wait()
        child.stopping = True
        child.check()
        server.write(LINE)
    assert log.read_bytes() == LINE
    assert (tmp_path / "server.log.1").read_bytes() == LINE * 20


def test_only_a_few_old_files_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    for number in range(KEPT + 3):
        log.write_bytes(b"%d" % number * (LARGEST + 1))
        copy_and_empty(log)
        assert not log.read_bytes()
    kept = [(tmp_path / f"server.log.{number}").read_bytes()[:1] for number in range(1, KEPT + 1)]
    assert kept == [b"5", b"4", b"3"]
    assert len(list(tmp_path.glob("server.log*"))) == KEPT + 1
    log.write_bytes(LINE)
    copy_and_empty(log)
    assert log.read_bytes() == LINE
    rotate(log)
    assert not log.exists()


def test_a_full_disk_raises_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("no room")

    log, old = tmp_path / "server.log", tmp_path / "server.log.1"
    log.write_bytes(LINE * 20)
    old.write_bytes(LINE)
    monkeypatch.setattr("shutil.copyfile", fails)
    for _ in range(KEPT + 1):
        copy_and_empty(log)
    assert log.read_bytes() == b""
    assert old.read_bytes() == LINE
    assert sorted(tmp_path.iterdir()) == [log, old]


def test_a_child_without_a_pid_file_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Popen[bytes]] = []

    class Recorded(Popen[bytes]):
        def __init__(self, *args: Any, **how: Any) -> None:
            super().__init__(*args, **how)
            started.append(self)

    def fails(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("subprocess.Popen", Recorded)
    monkeypatch.setattr("project.stack.children.record", fails)
    (tmp_path / "logs").mkdir()
    with pytest.raises(OSError, match="no room"):
        Launcher(tmp_path / "pids", tmp_path / "logs", "run").launch(
            "web", [PYTHON, "-c", "import time; time.sleep(600)"], env={}
        )
    (child,) = started
    assert child.returncode == -signal.SIGKILL


def test_a_follower_prints_whole_lines_and_survives_the_emptying(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "web.log"
    with log.open("ab", buffering=0) as web:
        follower = Follower(log)
        web.write(LINE * 20 + b"half")
        follower.show()
        web.write(b" a line\n")
        follower.show()
        copy_and_empty(log)
        web.write(b"next\n")
        follower.show()
    shown = [line.partition(" | ")[2] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["x" * 99] * 20 + ["half a line", "next"]
