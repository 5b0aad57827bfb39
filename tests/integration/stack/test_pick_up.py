"""A running stack loads new and changed features. Stand-ins are in place of its processes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

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
    return standin("plain", "--features", str(folder))


def pid(local: LocalDir) -> int | None:
    """Return the process of the stand-in, or None between two."""
    return next((entry.pid for entry in recorded(local.pids) if entry.name == "talker0"), None)


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


def test_a_process_that_does_not_start_with_a_change_is_started_with_the_next(
    stack: RunningStack, folder: Path, local: LocalDir
) -> None:
    (local.root / "frail").touch()
    write(folder, "one")
    stack.wait_for("not loaded everywhere: labels.")
    assert "talker0 died (exit code 1)" in stack.text()
    (local.root / "frail").unlink()
    write(folder, "another")
    stack.wait_for("feature labels is ready")
    assert wait_until(lambda: pid(local) is not None, timeout_s=10)
    assert stack.process.poll() is None
