"""`make stop` ends the stack of its checkout, and reports that none runs."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from project.stack import instance
from project.stack.errors import StackError
from project.stack.instance import single_instance, stop_running
from project.stack.local_dir import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from project.stack.local_dir import LocalDir

    from .conftest import RunningStack


def test_stop_ends_the_stack_and_then_there_is_none(
    standin: Callable[..., RunningStack], start: Callable[..., RunningStack]
) -> None:
    stack = standin()
    stop = start("manage.py", "stack", "--stop")
    assert stop.wait() == 0
    assert "the running stack was stopped" in stop.text()
    assert stack.wait() == 143
    assert stack.all_gone()
    again = start("manage.py", "stack", "--stop")
    assert again.wait() == 0
    assert again.text().strip() == "no stack of this checkout is running"


def test_make_stop_calls_it() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "stop"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert "manage.py stack --stop" in done.stdout


def test_a_stack_that_does_not_end_is_named(
    local: LocalDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "_is_locked", lambda _: True)
    monkeypatch.setattr(instance, "STOP_WAIT_S", 0)
    monkeypatch.setattr("os.kill", lambda *_: None)
    with single_instance(local), pytest.raises(StackError, match=r"pid \d+, still runs 0 s after"):
        stop_running(local)
