"""Two minutes of every fault there is, against the real processes, on servers of its own."""

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
"""Four times what it takes on an idle machine; it gives itself up before."""

END_S = 120


@pytest.mark.timeout(LIMIT_S + END_S + 60)
def test_every_promise_is_kept_whatever_breaks(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)  # never the one that --randomly-seed repeats
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
        process.send_signal(signal.SIGTERM)  # ends what it has started; nothing if it has ended
        process.wait(END_S)
    story = f"again: make chaos SHORT=1 SEED={seed}; logs: {keep}\n{found}\n{progress[-4000:]}"
    assert process.returncode == 0, story
    figures = json.loads(found.splitlines()[-1])["chaos"]
    for figure in ("lost", "doubled", "stale_writes"):
        assert figures[figure] == 0, story
    for figure in ("ledger_diff_micro", "overshoot_micro", "leaked_micro", "underbilled"):
        assert figures[figure] == 0, story
    assert figures["flips"] >= 2, story
    assert figures["tripped_by_check"] == 0, story
    assert set(figures["faults"]) == set(Kind)
    assert figures["unknown"] > 0, story
    assert figures["longest_rescue_s"] < 30, story
