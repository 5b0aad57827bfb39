"""Only processes that a pid file really names are ended."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from project.stack.processes import ProcessRecord, reap, record, recorded, start_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from project.stack.local_dir import LocalDir


linux = pytest.mark.skipif(sys.platform != "linux", reason="a process's start is a moment here")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, start_new_session=True) as process:
        yield process
        process.kill()


def _entry(process: subprocess.Popen[bytes]) -> ProcessRecord:
    return ProcessRecord("sleeper", process.pid, start_time(process.pid), "some-run")


def test_a_recorded_process_is_ended(local: LocalDir, sleeper: subprocess.Popen[bytes]) -> None:
    record(local.pids, _entry(sleeper))
    assert reap(local.pids) == ["sleeper"]
    assert sleeper.wait(20) == -15
    assert recorded(local.pids) == []


@linux
def test_a_clock_that_is_adjusted_hides_no_process(
    local: LocalDir, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux counts ticks since the boot. A time computed from them changes with the clock."""
    record(local.pids, _entry(sleeper))
    moment = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: moment(self) + 12)
    assert reap(local.pids) == ["sleeper"]


@linux
def test_a_pid_of_another_boot_is_left_alone(
    local: LocalDir, sleeper: subprocess.Popen[bytes]
) -> None:
    record(local.pids, replace(_entry(sleeper), boot="before"))
    assert reap(local.pids, grace_s=0.2) == []
    assert sleeper.poll() is None


def test_a_recycled_pid_is_left_alone(local: LocalDir, sleeper: subprocess.Popen[bytes]) -> None:
    entry = _entry(sleeper)
    record(local.pids, replace(entry, started=entry.started - 60))
    assert reap(local.pids, grace_s=0.2) == []
    assert sleeper.poll() is None
    assert recorded(local.pids) == []


def test_a_broken_pid_file_names_nothing(local: LocalDir) -> None:
    (local.pids / "broken.json").write_text("{")
    assert reap(local.pids) == []
    assert list(local.pids.iterdir()) == []
