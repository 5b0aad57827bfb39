"""`make bench`: measures the system against the sandbox provider and prints the results.

A missed aim is reported and does not fail. A run with lost jobs or errors fails.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

import psycopg
import redis

from project.stack.errors import StackError
from tests.bench import (
    abort,
    api,
    burst,
    eval_report,
    fair,
    inflight,
    kill,
    latency,
    limits,
    memory,
    memory_buckets,
    numbers,
    rate_gate,
    ratio,
    scale,
    streams,
)
from tests.bench.report import BrokenRunError, Figure, emit, progress, table
from tests.bench.stack import Stack, running_stack

Bench = Callable[[Stack, int], Figure]

BENCHES: dict[str, Bench] = {
    "ratio": ratio.run,
    "ratio_stream": ratio.run_stream,
    "inflight": inflight.run,
    "added_latency": latency.run,
    "memory": memory.run,
    "api": api.run,
    "burst": burst.run,
    "streams": streams.run,
    "scale": scale.run,
    "gate": rate_gate.run,
    "kill": kill.run,
    "abort": abort.run,
    "fair": fair.run,
    "limits": limits.run,
    "memory_buckets": memory_buckets.run,
    "eval_report": eval_report.run,
    "numbers": numbers.run,
}

ROUNDS = 4
LIMIT_S = 1500
"""Time limit of the whole run in seconds."""

_BREAKS = (
    *(BrokenRunError, StackError, OSError, psycopg.Error, redis.RedisError),
    *(subprocess.SubprocessError, ValueError, KeyError),
)
"""Errors of the processes in a run. Any other error is a defect of the bench."""


def main() -> int:
    """Run the chosen benches, also after one broke. Return 1 if any broke."""
    options = _parser().parse_args()
    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(signum, _exit)
    signal.alarm(LIMIT_S)
    figures: list[Figure] = []
    broken: dict[str, str] = {}
    with running_stack() as stack:
        for name in options.only:
            begun = time.monotonic()
            progress(f"{name}: begins")
            try:
                figure = BENCHES[name](stack, options.rounds)
            except _BREAKS as error:
                broken[name] = f"{type(error).__name__}: {error}"
                progress(f"{name}: broken: {broken[name]}")
                continue
            emit(figure)
            figures.append(figure)
            progress(f"{name}: done in {time.monotonic() - begun:.0f} s")
    sys.stdout.write(table(figures, broken))
    return 1 if broken else 0


def _exit(signum: int, _frame: FrameType | None) -> None:
    """Exit by an exception, so that all processes are stopped."""
    signal.alarm(0)
    sys.exit(f"bench: ended by {signal.Signals(signum).name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", type=_names, default=list(BENCHES), metavar="NAME,NAME")
    parser.add_argument("--rounds", type=_rounds, default=ROUNDS, metavar="N")
    return parser


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := set(names) - set(BENCHES):
        raise argparse.ArgumentTypeError(
            f"no bench {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}"
        )
    return names or list(BENCHES)


def _rounds(text: str) -> int:
    if not text:
        return ROUNDS
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
