"""A stack of stand-ins, run as a process: `python -m tests.integration.stack.standin`.

Options choose the behaviour of the stand-ins. All other parts are real.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from project.stack import supervisor
from project.stack.components import Component
from project.stack.console import complain, say
from project.stack.errors import ComponentFailedError, StackError
from project.stack.local_dir import LocalDir
from project.stack.pick_up import PickUp
from project.stack.ports import take_port
from project.stack.readiness import logged
from project.stack.runner import Prepared, Session, run_stack

if TYPE_CHECKING:
    from project.stack.supervisor import Tick

PORT = 7_000 + 200 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""The port of Valkey. No other test process uses it."""

REFUSAL = "?: (aifeature.E001) Feature labels is broken\n\tHINT: Fix it."
"""As Django prints the error of a system check."""

TALKER = """
import os, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def told(name):
    return os.path.exists(os.environ["LOCAL_DIR"] + "/" + name)
def start():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def hup(*_):
    global child
    if told("weak"):
        raise ValueError("it is odd")
    old, child = child, start()
    old.kill()
    old.wait()
if told("frail"):
    sys.exit("cannot start")
if told("mute"):
    print("hangs", flush=True)
    time.sleep(600)
child = start()
if "web" in sys.argv:
    signal.signal(signal.SIGHUP, hup)
print("ready.", flush=True)
if "loud" in sys.argv:  # only when the stack has read that it is ready
    while not told("shout"):
        time.sleep(0.01)
    sys.stdout.write(("x" * 99 + chr(10)) * 110_000)
    sys.stdout.flush()
if "dies" in sys.argv:
    print("the reason why", flush=True)
    sys.exit(7)
while True:
    time.sleep(600)
"""


@dataclass
class StandinPlan:
    """Talkers of the given kinds, and Valkey on request."""

    kinds: list[str]
    valkey: bool
    smoke: int | None
    features: Path | None
    """Changes there restart the talkers. A file with the word "broken" is refused."""

    def prepare(self, session: Session) -> Prepared:
        servers = []
        if self.valkey:
            from project.stack.valkey import EmbeddedValkey  # noqa: PLC0415 (a tenth of a second)

            port = session.exits.enter_context(take_port(PORT))
            valkey = EmbeddedValkey(session.local.valkey, session.launcher, port=port)
            servers.append(session.server(valkey.start()))
            valkey.ready(session.stop.check)
        session.local.env_file.write_text("LOCAL_STACK='1'\n")
        components = [
            Component(
                name := f"talker{number}",
                (sys.executable, "-c", TALKER, kind),
                logged(session.local.logs / f"{name}.log", "ready."),
                "nowhere",
                reload="hup" if kind == "web" else "restart",
            )
            for number, kind in enumerate(self.kinds)
        ]
        env = {"LOCAL_DIR": str(session.local.root)}
        url = "http://127.0.0.1:1/"
        if self.features is None:
            return Prepared(components, env, servers, url)
        return Prepared(components, env, servers, url, PickUp(self.features, self._check, url))

    def _check(self, _tick: Tick) -> None:
        for path in self.features.rglob("*") if self.features else ():
            if path.is_file() and "broken" in path.read_text():
                raise ComponentFailedError(f"features failed:\n{REFUSAL}")

    def when_ready(self, tick: Tick) -> int | None:
        tick()
        say("all ready")
        return self.smoke


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=["plain", "plain"])
    parser.add_argument("--valkey", action="store_true")
    parser.add_argument("--smoke", type=int)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--features", type=Path)
    parser.add_argument("--stop-s", type=float, default=supervisor.STOP_S)
    parser.add_argument("--patience-s", type=float, default=supervisor.PATIENCE_S)
    options = parser.parse_args()
    supervisor.STOP_S, supervisor.PATIENCE_S = options.stop_s, options.patience_s
    plan = StandinPlan(options.kinds, options.valkey, options.smoke, options.features)
    try:
        return run_stack(LocalDir.from_environ(), lambda: plan, verbose=options.verbose)
    except StackError as error:
        complain(str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
