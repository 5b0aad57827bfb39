"""Every kind of fault within two minutes, against real processes on servers of their own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from project.stack.local_dir import CHECKOUT
from tests.chaos.plan import Kind
from tests.system import INHERITED

LIMIT_S = 600
"""Four times the duration on an idle machine; the run has a shorter limit of its own."""

END_S = 120


@pytest.mark.timeout(LIMIT_S + END_S + 60)
def test_every_promise_is_kept_under_faults(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)  # not repeated by --randomly-seed
    keep = tmp_path / "chaos"
    command = [sys.executable, "-m", "tests.chaos", "--short", "--seed", str(seed)]
    process = subprocess.Popen(
        [*command, "--keep", str(keep)],
        cwd=CHECKOUT,
        env={name: value for name, value in os.environ.items() if name in INHERITED},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found, progress = process.communicate(timeout=LIMIT_S)
    finally:
        process.send_signal(signal.SIGTERM)  # the run stops its processes
        process.wait(END_S)
    report = f"again: make chaos SHORT=1 SEED={seed}; logs: {keep}\n{found}\n{progress[-4000:]}"
    assert process.returncode == 0, report
    figures = json.loads(found.splitlines()[-1])["chaos"]
    nothing = "lost doubled stale_writes ledger_diff_micro overshoot_micro leaked_micro underbilled"
    for figure in [*nothing.split(), "tripped_by_check"]:
        assert figures[figure] == 0, (figure, report)
    assert figures["flips"] >= 2, report
    assert set(figures["faults"]) == set(Kind)
    assert figures["unknown"] > 0, report
    assert figures["longest_rescue_s"] < 30, report
