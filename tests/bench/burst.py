"""How much longer do others wait while one user floods the site?"""

from __future__ import annotations

import threading
from typing import Final

import psutil

from tests.bench import flood
from tests.bench.flood import Crowd
from tests.bench.report import Aim, Figure
from tests.bench.stack import UNLIMITED, Stack

OTHERS: Final = 40


def run(stack: Stack, _rounds: int) -> Figure:
    """Look at the others without the flood and with it; count the threads of the site."""
    with stack.bed("burst") as bed:
        for name in UNLIMITED:
            del bed.env[name]  # this is about the limits as they are by default
        web, port = bed.web(processes=2)
        users, tokens = bed.seed.users[: OTHERS + 1], bed.seed.tokens[: OTHERS + 1]
        crowd = Crowd(port, users, tokens, bed.env, bed.launcher.logs)
        over = threading.Event()
        processes = psutil.Process(web.process.pid).children()
        most = [0]

        def count() -> None:
            while not over.wait(0.2):
                most[0] = max(most[0], *(process.num_threads() for process in processes))

        counting = threading.Thread(target=count)
        counting.start()
        try:
            found = flood.measure(crowd, bed.connect())
        finally:
            over.set()
            counting.join()
    values = {
        "calm_p95_ms": found.calm_p95_ms,
        "burst_p95_ms": found.burst_p95_ms,
        "slowdown": found.burst_p95_ms / found.calm_p95_ms,
        "refused": found.refused,
        "served": len(found.answered) - found.refused,
        "web_threads": most[0],
    }
    note = f"{OTHERS} others ask once a second, while {flood.MEANT}"
    return Figure("burst", values, (Aim("slowdown", "at most", 2),), note)
