"""No port is fixed."""

from __future__ import annotations

import socket
import subprocess
import sys

from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST, take_port

PREFERRED = 17_310
TAKE = f"from project.stack.ports import take_port\nwith take_port({PREFERRED}) as p: print(p)"


def test_a_taken_port_moves_on() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        with take_port(taken) as port:
            assert port > taken


def test_two_stacks_never_choose_the_same_port() -> None:
    with take_port(PREFERRED) as port:
        done = subprocess.run(
            [sys.executable, "-c", TAKE], cwd=CHECKOUT, capture_output=True, text=True, check=True
        )
        assert int(done.stdout) != port


def test_a_port_is_given_back() -> None:
    with take_port(PREFERRED + 200) as first:
        pass
    with take_port(PREFERRED + 200) as second:
        assert second == first
