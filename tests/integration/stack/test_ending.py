"""A stack that ends in any way leaves no process behind and prints the reason."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from project.stack.log_files import LARGEST
from project.stack.ports import is_free
from project.stack.processes import recorded
from project.stack.signals import wait_until

from .conftest import WAIT_S, leftovers

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import RunningStack


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_everything(
    standin: Callable[..., RunningStack], signum: signal.Signals, code: int
) -> None:
    stack = standin("--valkey")
    assert len(leftovers(stack.local)) >= 5  # two talkers, each with a child, and the supervisor
    port = _valkey_port(stack)
    assert not is_free(port)
    stack.process.send_signal(signum)
    assert stack.wait() == code
    assert stack.all_gone()
    assert is_free(port)
    assert recorded(stack.local.pids) == []
    assert not stack.local.env_file.exists()


def test_a_dead_component_is_named_and_ends_the_stack(
    standin: Callable[..., RunningStack],
) -> None:
    stack = standin("plain", "dies", until="died")
    assert stack.wait() == 1
    assert "talker1 died (exit code 7)" in stack.text()
    assert "the reason why" in stack.text()
    assert stack.all_gone()


def test_a_killed_component_ends_the_stack(standin: Callable[..., RunningStack]) -> None:
    stack = standin()
    _kill(stack, "talker0")
    assert stack.wait() == 1
    assert "talker0 died (signal 9)" in stack.text()
    assert stack.all_gone()


def test_a_killed_server_ends_the_stack(standin: Callable[..., RunningStack]) -> None:
    stack = standin("--valkey")
    _kill(stack, "valkey")
    assert stack.wait() == 1
    assert "valkey died (signal 9)" in stack.text()
    assert stack.all_gone()


def test_a_component_that_ignores_sigterm_is_killed(standin: Callable[..., RunningStack]) -> None:
    stack = standin("plain", "stubborn", "--smoke", "0", "--stop-s", "1")
    assert stack.wait() == 0
    assert stack.all_gone()


def test_a_loud_component_has_a_bounded_log(standin: Callable[..., RunningStack]) -> None:
    stack = standin("plain", "loud")
    (stack.local.root / "shout").touch()
    log, old = (stack.local.logs / name for name in ("talker1.log", "talker1.log.1"))

    def is_emptied() -> bool:  # the old file exists for a moment before the log is emptied
        return old.exists() and log.stat().st_size <= LARGEST

    assert wait_until(is_emptied, timeout_s=WAIT_S)


def test_the_exit_code_is_the_job_s_and_verbose_shows_the_output_of_the_components(
    standin: Callable[..., RunningStack],
) -> None:
    stack = standin("--verbose", "--smoke", "3")
    assert stack.wait() == 3
    assert stack.all_gone()
    assert re.search(r"talker0 +\| ready\.", stack.text())


def test_the_reaper_cleans_up_after_a_hard_kill(standin: Callable[..., RunningStack]) -> None:
    stack = standin("--valkey")
    stack.process.kill()
    stack.wait()
    assert stack.all_gone(), leftovers(stack.local)
    assert not stack.local.env_file.exists()


def test_the_next_start_cleans_up_after_a_hard_kill_and_a_dead_reaper(
    standin: Callable[..., RunningStack],
) -> None:
    stack = standin("--valkey")
    _kill(stack, "reaper")
    stack.process.kill()
    stack.wait()
    assert leftovers(stack.local)
    follower = standin("--valkey", "--smoke", "0")
    assert follower.wait() == 0
    assert "reaped" in follower.text()
    assert stack.all_gone()


def test_a_second_start_is_refused(standin: Callable[..., RunningStack]) -> None:
    first = standin()
    second = standin(until="runs already")
    assert second.wait() == 1
    assert len(second.text().splitlines()) == 1
    assert str(first.process.pid) in second.text()
    assert "http://127.0.0.1:1/" in second.text()
    assert first.process.poll() is None


def _kill(stack: RunningStack, name: str) -> None:
    pid = json.loads((stack.local.pids / f"{name}.json").read_text())["pid"]
    psutil.Process(pid).kill()


def _valkey_port(stack: RunningStack) -> int:
    pid = json.loads((stack.local.pids / "valkey.json").read_text())["pid"]
    ports = {c.laddr.port for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"}
    (port,) = ports
    return int(port)
