"""The operators of the system, who flip the kill switch and set caps and rates."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT


class Staff:
    """Client of the operators' process; safe for any number of threads.

    Each method returns when its change began and when it was in force, in seconds since the epoch
    by the database's clock.
    """

    def __init__(self, orders: IO[str], answers: IO[str]) -> None:
        self._orders = orders
        self._answers = answers
        self._lock = threading.Lock()

    def stop(self, slug: str, *, cancels: bool) -> tuple[float, float]:
        """Pull the switch of a feature, or of `_everything`."""
        return self._do("stop", slug=slug, mode="cancel" if cancels else "hold")

    def release(self, slug: str, *, percent: int) -> tuple[float, float]:
        return self._do("release", slug=slug, percent=percent)

    def budget(self, slug: str, usd: Mapping[str, str]) -> tuple[float, float]:
        """Set caps by their names in FeatureControl, in US dollars."""
        return self._do("budget", slug=slug, values=dict(usd))

    def rates(self, users: Sequence[int], values: Mapping[str, Any]) -> tuple[float, float]:
        """Give users their own rates, by their names in RateOverride."""
        return self._do("rates", users=list(users), values=dict(values))

    def _do(self, action: str, **facts: Any) -> tuple[float, float]:
        try:
            with self._lock:
                self._orders.write(json.dumps({"action": action, **facts}) + "\n")
                self._orders.flush()
                answer = self._answers.readline()
        except ValueError:  # closed: the run was interrupted
            answer = ""
        if not answer:
            raise RuntimeError(f"the process of the operators ended before {action} {facts}")
        begun, done = json.loads(answer)
        return float(begun), float(done)


@contextmanager
def at_work(env: Mapping[str, str], log: Path) -> Iterator[Staff]:
    """Run the operators' process, without a proxy to its stores."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [PYTHON, "-m", "tests.chaos.staff_process"],
            env=dict(env),
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Staff(process.stdin, process.stdout)
        finally:
            process.kill()
