"""A running stack loads new and changed features. Stand-ins are in place of its processes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from project.stack.local_dir import LocalDir
from project.stack.processes import recorded
from project.stack.signals import wait_until

from .conftest import RunningStack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the features."""
    found = tmp_path / "features"
    found.mkdir()
    return found


@pytest.fixture
def stack(standin: Callable[..., RunningStack], folder: Path) -> RunningStack:
    return standin("plain", "web", "--features", str(folder), "--patience-s", "0.5")


def pid(local: LocalDir, name: str = "talker0") -> int | None:
    """Return the process of the stand-in, or None between two."""
    return next((entry.pid for entry in recorded(local.pids) if entry.name == name), None)


def write(folder: Path, text: str, name: str = "feature.py") -> None:
    file = folder / "labels" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def test_a_new_feature_restarts_the_processes_that_run_features(
    stack: RunningStack, folder: Path, local: LocalDir
) -> None:
    first = pid(local)
    write(folder, "one")
    stack.wait_for("feature labels is ready: http://127.0.0.1:1/f/labels/")
    assert pid(local) not in {first, None}
    stack.process.send_signal(signal.SIGINT)
    assert stack.wait() == 0
    assert stack.all_gone()


def test_a_feature_that_does_not_load_changes_nothing(
    stack: RunningStack, folder: Path, local: LocalDir
) -> None:
    first = pid(local)
    write(folder, "broken")
    stack.wait_for("\n    Fix it.")
    assert "not loaded: labels. The running system continues. Feature labels is b" in stack.text()
    assert pid(local) == first
    write(folder, "whole")
    stack.wait_for("feature labels is ready")
    assert pid(local) != first


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("frail", "talker0 died (exit code 1): cannot start (log: "),
        ("weak", "talker1 died (exit code 1): ValueError: it is odd (log: "),
    ],
)
def test_a_process_that_does_not_load_a_change_is_started_with_the_next(
    stack: RunningStack, folder: Path, local: LocalDir, fault: str, words: str
) -> None:
    (local.root / fault).touch()
    write(folder, "one")
    stack.wait_for("not loaded everywhere: labels.")
    assert words in stack.text()
    (local.root / fault).unlink()
    write(folder, "another")
    stack.wait_for("feature labels is ready")
    for name in ("talker0", "talker1"):
        assert wait_until(lambda: pid(local, name) is not None, timeout_s=10)  # noqa: B023
    assert stack.process.poll() is None


def test_a_change_that_hangs_while_it_is_loaded_does_not_hold_the_next_up(
    stack: RunningStack, folder: Path, local: LocalDir
) -> None:
    (local.root / "mute").touch()
    write(folder, "one")
    log = local.logs / "talker0.log"
    assert wait_until(lambda: "hangs" in log.read_text(), timeout_s=10)
    (local.root / "mute").unlink()
    write(folder, "another")
    stack.wait_for(
        "not loaded everywhere: labels. Save a change to try again. talker0 is not ready"
    )
    stack.wait_for("feature labels is ready")


def test_a_death_beside_files_that_do_not_load_does_not_end_the_stack(
    stack: RunningStack, folder: Path, local: LocalDir
) -> None:
    """gunicorn starts a process from the present files if one dies, and ends if they are broken."""
    write(folder, "broken")
    stack.wait_for("The running system continues")
    psutil.Process(pid(local)).kill()
    stack.wait_for("talker0 died (signal 9)")
    write(folder, "whole")
    stack.wait_for("feature labels is ready")
    assert stack.text().count("talker0 died") == 1


def test_a_component_that_died_starts_again_when_the_change_is_undone(
    stack: RunningStack, folder: Path, local: LocalDir
) -> None:
    write(folder, "broken")
    stack.wait_for("The running system continues")
    psutil.Process(first := pid(local)).kill()
    stack.wait_for("talker0 died (signal 9)")
    (folder / "labels" / "feature.py").unlink()
    assert wait_until(lambda: pid(local) not in {first, None}, timeout_s=10)


def test_a_death_after_a_removal_that_was_not_loaded_does_not_end_the_stack(
    stack: RunningStack, folder: Path, local: LocalDir
) -> None:
    write(folder, "one")
    stack.wait_for("feature labels is ready")
    (local.root / "frail").touch()
    (folder / "labels" / "feature.py").unlink()
    stack.wait_for("not loaded everywhere: labels.")
    (local.root / "frail").unlink()
    psutil.Process(pid(local, "talker1")).kill()
    stack.wait_for("talker1 died (signal 9)")
    write(folder, "another")
    assert wait_until(lambda: stack.text().count("feature labels is ready") > 1, timeout_s=10)
