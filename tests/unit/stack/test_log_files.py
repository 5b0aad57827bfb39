"""Log files of the local stack are bounded, whoever writes them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from project.stack import log_files
from project.stack.children import PYTHON, Child
from project.stack.keeper import Keeper
from project.stack.log_files import KEPT, LogFile, copy_and_empty, rotate
from project.stack.processes import ProcessRecord

LARGEST = 1_000
LINE = b"x" * 99 + b"\n"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "LARGEST", LARGEST)


@pytest.fixture
def _hang_up_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def sizes(log: Path) -> list[int]:
    return [file.stat().st_size for file in sorted(log.parent.glob(f"{log.name}*"))]


def test_a_writer_starts_a_new_file_when_one_is_full(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with closing(LogFile(log)) as file:
        for _ in range(100):
            file.write(LINE)
    assert sizes(log) == [LARGEST] * (KEPT + 1)
    with closing(LogFile(log)) as file:  # what is there counts
        file.write(LINE)
    assert log.read_bytes() == LINE


@pytest.mark.parametrize(("of", "failing"), [(log_files, "rotate"), (Path, "open")])
def test_a_file_that_could_not_be_rotated_once_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: Any, failing: str
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError("no room")

    log = tmp_path / "web.log"
    with closing(LogFile(log)) as file:
        file.write(LINE * (LARGEST // len(LINE)))
        for _ in range(2):
            with monkeypatch.context() as full:
                full.setattr(of, failing, fails)
                with pytest.raises(OSError, match="no room"):
                    file.write(LINE)
        file.write(LINE)
    assert log.read_bytes() == LINE
    assert (tmp_path / "web.log.1").stat().st_size == LARGEST


@pytest.mark.usefixtures("_hang_up_as_before")
def test_a_component_s_output_is_bounded(tmp_path: Path) -> None:
    for name in ("pids", "logs"):
        (tmp_path / name).mkdir()
    log = tmp_path / "logs" / "loud.log"
    loud = f"{PYTHON} -c \"for _ in range(500): print('y' * 99)\""
    keeper = Keeper(
        f"exec {loud}",
        name="loud",
        quiet=True,
        colour=None,
        env={},
        cwd=None,
        pids=tmp_path / "pids",
        log=log,
        run="run",
    )
    events: Any = type("Events", (), {"put": lambda *_: None})()
    keeper.run(events)
    assert len(sizes(log)) == KEPT + 1
    assert max(sizes(log)) <= LARGEST


def test_a_server_s_log_is_bounded_while_it_goes_on_writing(tmp_path: Path) -> None:
    """PostgreSQL and Valkey have the file open themselves."""
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as servers:
        servers.write(LINE * 20)
        record = ProcessRecord("server", 1, 0.0, "run")
        child = Child("server", Popen([PYTHON, "-c", ""]), record, log, tmp_path)
        child.process.wait()
        child.stopping = True
        child.check()
        servers.write(LINE)
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
    assert len(sizes(log)) == KEPT + 1
    log.write_bytes(LINE)
    copy_and_empty(log)
    assert log.read_bytes() == LINE
    rotate(log)
    assert not log.exists()
