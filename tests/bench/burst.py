"""The waits of other users while one user floods the site."""

from __future__ import annotations

from typing import Final

import psutil

from tests.bench import flood
from tests.bench.flood import Crowd
from tests.bench.memory import sampled
from tests.bench.report import Aim, Figure
from tests.bench.stack import UNLIMITED, Stack

OTHERS: Final = 40


def run(stack: Stack, _rounds: int) -> Figure:
    """Measure the others without the flood and with it; count the threads of the site."""
    with stack.bed("burst") as bed:
        for name in UNLIMITED:
            del bed.env[name]  # the default limits are measured
        web, port = bed.web(processes=2)
        users, tokens = bed.seed.users[: OTHERS + 1], bed.seed.tokens[: OTHERS + 1]
        crowd = Crowd(port, users, tokens, bed.env, bed.launcher.logs)
        processes = psutil.Process(web.process.pid).children()
        with sampled(*processes, of=psutil.Process.num_threads) as threads:
            found = flood.measure(crowd, bed.connect())
    values = {
        "calm_p95_ms": found.calm_p95_ms,
        "burst_p95_ms": found.burst_p95_ms,
        "slowdown": found.burst_p95_ms / found.calm_p95_ms,
        "refused": found.refused,
        "served": len(found.answered) - found.refused,
        "web_threads": max(threads),
    }
    note = f"{OTHERS} others send a request every second, while {flood.DESCRIPTION}"
    return Figure("burst", values, (Aim("slowdown", "at most", 2),), note)
